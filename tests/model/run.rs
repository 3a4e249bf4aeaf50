//! A run: layers made by chance, operations one after the other, each done to the model and to the mounted tree, and both
//! compared. A run that fails becomes a list of operations that can be replayed, as short as could be found.

use super::act::World;
use super::check::{self, Wrong};
use super::choose;
use super::ground::{Driver, Ground, alone};
use super::layers;
use super::operation::{Answer, Op};
use super::tree::{EVER, Model, Rules, Time};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::dice::Dice;

/// What is to be run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) rules: Rules,
    /// They serve in turns.
    pub(crate) drivers: Vec<Driver>,
    /// The whole tree is compared then, before and after, and halfway.
    pub(crate) swap_every: u64,
    /// `st_ino` stays the same over remounts by one driver; over a swap as well.
    pub(crate) inodes_stay: (bool, bool),
}

impl Plan {
    /// Kinds of operation that are not chosen.
    pub(crate) fn left_out(&self) -> &'static [&'static str] {
        if self.drivers.contains(&Driver::Fuse) { choose::LEFT_OUT } else { &[] }
    }
}

/// What was done: operations by name and driver, how many worked and how many failed; the errors by number.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) operations: BTreeMap<(String, Driver), (u64, u64)>,
    pub(crate) errors: BTreeMap<(Driver, i32), u64>,
}

/// A run that went wrong.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) operations: Vec<Op>,
    pub(crate) wrong: Wrong,
}

struct Run<'a> {
    plan: &'a Plan,
    ground: Ground,
    model: Model,
    world: Option<World>,
    turn: usize,
    counts: Counts,
}

/// Does `count` operations chosen by `seed`.
pub(crate) fn chosen(plan: &Plan, seed: u64, count: u64) -> (Counts, Result<(), Failure>) {
    alone(|dir| {
        let mut done = Vec::new();
        let mut run = Run::new(plan, dir, seed);
        let mut dice = Dice::new(seed.rotate_left(23) ^ 0x5EED);
        let result = run.start().and_then(|()| {
            for number in 1..=count {
                let op = if number % plan.swap_every == 0 {
                    if dice.once_in(4) && !plan.left_out().contains(&"Freeze") { Op::Freeze } else { Op::Swap }
                } else if dice.once_in(150) {
                    Op::Remount
                } else {
                    choose::next(&mut dice, &run.model, plan.left_out())
                };
                done.push(op.clone());
                run.step(&op)?;
                if number % plan.swap_every == plan.swap_every / 2 {
                    run.whole()?;
                }
            }
            run.whole()
        });
        (run.counts.clone(), result.map_err(|wrong| Failure { seed, operations: done, wrong }))
    })
}

/// Does these operations, and says what went wrong. The whole tree is compared after each of the last ones.
pub(crate) fn replayed(plan: &Plan, seed: u64, operations: &[Op]) -> Result<(), Wrong> {
    alone(|dir| {
        let mut run = Run::new(plan, dir, seed);
        run.start()?;
        for (number, op) in operations.iter().enumerate() {
            run.step(op).map_err(|wrong| format!("operation {}: {wrong}", number + 1))?;
        }
        run.whole()
    })
}

/// The failing list with as many operations taken out as it can do without, found within `limit`.
pub(crate) fn shrunk(plan: &Plan, failure: Failure, limit: Duration) -> Failure {
    let start = Instant::now();
    let mut best = failure;
    let mut piece = best.operations.len().div_ceil(2);
    while piece > 0 && start.elapsed() < limit {
        // The last one shows the fault.
        let mut at = best.operations.len().saturating_sub(1);
        while at > 0 && start.elapsed() < limit {
            let from = at.saturating_sub(piece);
            let mut fewer = best.operations.clone();
            fewer.drain(from..at);
            if let Err(wrong) = replayed(plan, best.seed, &fewer)
                && kind(&wrong) == kind(&best.wrong)
            {
                best = Failure { operations: fewer, wrong, ..best };
            }
            at = from.min(best.operations.len().saturating_sub(1));
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(3) };
    }
    best
}

/// What sort of thing is wrong, so that a shorter list shows the same fault and not another.
fn kind(wrong: &str) -> Option<&'static str> {
    let kinds = [
        "answers", "d_ino", "st_ino", "mtime", "ctime", "links", "mode", "uid", "size", "content", "xattrs", "lists",
        "stream",
    ];
    kinds.into_iter().chain(["expected", "reading", "hole", "umount"]).find(|kind| wrong.contains(&format!(" {kind} ")))
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, dir: &std::path::Path, seed: u64) -> Self {
        let may_link = plan.rules.root || !plan.left_out().contains(&"lower hard links without root");
        let layers = layers::choose(&mut Dice::new(seed), plan.rules, may_link);
        let ground = Ground::new(dir, plan.rules, layers.len());
        for (number, layer) in layers.iter().enumerate() {
            layers::build(layer, &ground.layer(number), plan.rules);
        }
        let mut model = layers::merge(&layers, plan.rules);
        model.unchecked = plan.left_out();
        let turn = seed as usize % plan.drivers.len();
        Self { plan, ground, model, world: None, turn, counts: Counts::default() }
    }

    fn driver(&self) -> Driver {
        self.plan.drivers[self.turn]
    }

    fn start(&mut self) -> Result<(), Wrong> {
        self.mount()?;
        self.whole()
    }

    fn mount(&mut self) -> Result<(), Wrong> {
        let driver = self.driver();
        self.ground.mount(driver)?;
        self.model.kernel_serves = driver != Driver::Fuse;
        self.world = Some(World::new(self.ground.target(), driver != Driver::Fuse));
        Ok(())
    }

    fn step(&mut self, op: &Op) -> Result<(), Wrong> {
        let driver = self.driver();
        let told = |wrong: Wrong| format!("{driver:?}: {}: {wrong}", line(op));
        if matches!(op, Op::Remount | Op::Swap | Op::Freeze) {
            self.count(op, Ok(()));
            return self.again(op).map_err(told);
        }
        let Some(world) = &mut self.world else { return Err(told("nothing is mounted".into())) };
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        self.model.now = (now.tv_sec, now.tv_nsec as i64);
        let expected = self.model.apply(op);
        if expected == Ok(Answer::Skipped) && !matches!(op, Op::Open { .. }) {
            return Ok(());
        }
        let got = world.act(op);
        compare(&expected, &got).map_err(told)?;
        check::after(&mut self.model, world, op).map_err(told)?;
        self.count(op, expected.map(drop));
        Ok(())
    }

    fn count(&mut self, op: &Op, result: Result<(), Errno>) {
        let driver = self.driver();
        let entry = self.counts.operations.entry((op.name(), driver)).or_default();
        match result {
            Ok(()) => entry.0 += 1,
            Err(e) => {
                entry.1 += 1;
                *self.counts.errors.entry((driver, e.raw_os_error())).or_default() += 1;
            }
        }
    }

    fn whole(&mut self) -> Result<(), Wrong> {
        let driver = self.driver();
        let Some(world) = &self.world else { return Err("nothing is mounted".into()) };
        check::whole(&mut self.model, world).map_err(|wrong| format!("{driver:?}: the tree: {wrong}"))
    }

    /// Unmounts and mounts again, as `op` says.
    fn again(&mut self, op: &Op) -> Result<(), Wrong> {
        self.whole()?;
        self.world = None;
        for slot in 0..=u8::MAX {
            self.model.close(slot);
            self.model.close_folder(slot);
        }
        self.ground.umount()?;
        if self.driver() == Driver::Fuse && !self.model.rules.root {
            self.model.soften();
        }
        if *op != Op::Remount {
            self.turn = (self.turn + 1) % self.plan.drivers.len();
        }
        let frozen = *op == Op::Freeze && self.model.can_freeze() && self.ground.lowers.len() < 8;
        if frozen {
            self.ground.freeze();
            self.model.freeze();
        }
        let (over_remount, over_swap) = self.plan.inodes_stay;
        let stay = if *op == Op::Remount || self.plan.drivers.len() == 1 { over_remount } else { over_swap };
        if frozen || !stay {
            self.model.objects.values_mut().for_each(|object| object.inode = None);
        }
        self.mount()?;
        self.whole()
    }
}

impl Model {
    /// Whether the upper can become a lower layer and nothing of this model changes: what ties hard links over layers lies beside
    /// the upper, and would be lost.
    fn can_freeze(&self) -> bool {
        let links = self.objects.values().any(|o| o.was_linked || !self.rules.index && o.links > 1 && !o.is_folder());
        // The merged root's attributes are the upper's, and the next upper has those of a new folder.
        let root = self.at(super::tree::ROOT);
        !links && (root.mode, root.uid, root.gid) == (0o755, 0, 0) && root.xattrs.is_empty()
    }

    /// Times of writes may have become those of the flush.
    fn soften(&mut self) {
        for object in self.objects.values_mut().filter(|o| o.written) {
            if let Time::Exactly(time) = object.mtime {
                object.mtime = Time::Since(time);
            }
        }
    }

    fn freeze(&mut self) {
        for object in self.objects.values_mut() {
            object.lower = true;
            object.metacopy = false;
            object.was_linked = !object.is_folder() && object.links > 1;
        }
        self.get(super::tree::ROOT).mtime = Time::Since(EVER);
    }
}

fn compare(expected: &Result<Answer, Errno>, got: &Result<Answer, Errno>) -> Result<(), Wrong> {
    if expected == got {
        return Ok(());
    }
    if let (Ok(Answer::Bytes(expected)), Ok(Answer::Bytes(got))) = (expected, got) {
        return check::same_bytes(expected, got);
    }
    Err(format!("answers {got:?}, not {expected:?}"))
}

/// An operation as a line that can be read back.
pub(crate) fn line(op: &Op) -> String {
    serde_json::to_string(op).expect("JSON")
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        for (key, (worked, failed)) in &other.operations {
            let entry = self.operations.entry(key.clone()).or_default();
            *entry = (entry.0 + worked, entry.1 + failed);
        }
        for (key, count) in &other.errors {
            *self.errors.entry(*key).or_default() += count;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.operations.values().map(|(worked, failed)| worked + failed).sum()
    }

    /// Tables: a line an operation, and a line a driver with its errors.
    pub(crate) fn shown(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        let names: std::collections::BTreeSet<&String> = self.operations.keys().map(|(name, _)| name).collect();
        for name in names {
            let each = self.operations.iter().filter(|((n, _), _)| n == name);
            let each: Vec<_> = each.map(|((_, d), (ok, bad))| format!("{d:?} {ok} and {bad} errors")).collect();
            let _ = writeln!(text, "  {name:<14} {}", each.join(", "));
        }
        for driver in [Driver::Reference, Driver::Kernel, Driver::Fuse] {
            let each = self.errors.iter().filter(|((d, _), _)| *d == driver);
            let each: Vec<_> = each.map(|((_, e), n)| format!("{:?} {n}", nix::errno::Errno::from_raw(*e))).collect();
            if !each.is_empty() {
                let _ = writeln!(text, "  errors of {driver:?}: {}", each.join(", "));
            }
        }
        text
    }
}
