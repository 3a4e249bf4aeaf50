//! A case, and the run of all of them: each on every runtime, several at a time, one line a case.

use crate::ground::Ground;
use crate::runtime::{RUNTIMES, Runtime};
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Nothing, or why the sentence does not hold.
pub(crate) type Verdict = Result<(), String>;

/// On which cgroup tree a case can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tree {
    /// On either.
    Any,
    /// A hierarchy for each controller.
    V1,
    /// The one tree.
    V2,
}

/// What a case is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bench<'a> {
    /// The runtime.
    pub(crate) runtime: &'a Runtime,
    /// Where it runs.
    pub(crate) ground: &'a Ground,
}

type Body = Box<dyn Fn(Bench<'_>) -> Verdict + Send + Sync>;

/// One case: the same body for each runtime.
pub(crate) struct Case {
    /// `chapter::what_holds`, as the table names it.
    pub(crate) name: String,
    /// Where it can run.
    pub(crate) tree: Tree,
    body: Body,
}

impl Case {
    /// A case by its name.
    pub(crate) fn new(name: String, body: impl Fn(Bench<'_>) -> Verdict + Send + Sync + 'static) -> Self {
        Self { name, tree: Tree::Any, body: Box::new(body) }
    }

    /// The same on one kind of tree only.
    pub(crate) fn on(self, tree: Tree) -> Self {
        Self { tree, ..self }
    }
}

/// The cases of a chapter: functions, named after the chapter and themselves.
#[macro_export]
macro_rules! cases {
    ($chapter:literal: $($name:ident),+ $(,)?) => {
        vec![$($crate::case::Case::new(concat!($chapter, "::", stringify!($name)).to_owned(), $name)),+]
    };
}

/// Ends the case where `$holds` does not.
#[macro_export]
macro_rules! check {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

/// What came of one case, by runtime.
pub(crate) type Outcome = BTreeMap<&'static str, Verdict>;

/// Runs `cases` on all runtimes and says a line for each.
pub(crate) fn run_all(ground: &Ground, cases: &[Case]) -> Vec<Outcome> {
    let jobs = cases.len() * RUNTIMES.len();
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Mutex<Outcome>> = cases.iter().map(|_| Mutex::default()).collect();
    // Much of a case is waiting: for namespaces to end, for grace periods of cgroups.
    let workers = std::thread::available_parallelism().map_or(2, usize::from) * 2;
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(job) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&job| job < jobs) {
                    let (at, runtime) = (job / RUNTIMES.len(), &RUNTIMES[job % RUNTIMES.len()]);
                    let verdict = run_one(&cases[at], Bench { runtime, ground });
                    let mut outcome = outcomes[at].lock().expect("no case panics in here");
                    outcome.insert(runtime.name, verdict);
                    if outcome.len() == RUNTIMES.len() {
                        say(&cases[at].name, &outcome);
                    }
                }
            });
        }
    });
    outcomes.into_iter().map(|outcome| outcome.into_inner().expect("no case panics in here")).collect()
}

fn run_one(case: &Case, bench: Bench<'_>) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| (case.body)(bench))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default())
    })
}

/// `case: crun ok, runc FAILED: why, nsrun ok`.
fn say(name: &str, outcome: &Outcome) {
    let word = |runtime: &Runtime| match outcome.get(runtime.name) {
        Some(Err(why)) => format!("{} FAILED: {}", runtime.name, why.replace('\n', " | ")),
        _ => format!("{} ok", runtime.name),
    };
    let words: Vec<String> = RUNTIMES.iter().map(word).collect();
    // Past the capture of the test harness: the line is a result, also of a run that succeeds.
    let _ = std::io::stderr().write_all(format!("{name}: {}\n", words.join(", ")).as_bytes());
}
