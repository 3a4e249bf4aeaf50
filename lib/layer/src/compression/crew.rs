//! Threads that do work ahead of the one who unpacks in order: as many as idle cores allow, and only while what is unpacked is
//! waited for.
//!
//! A job is whoever's takes it first: a helper, or the one in order who has come to it before and does it himself.

use super::budget::{self, Busy};
use crate::queue::{Receiver, Sender, bounded, unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// More helpers than this wait for the digest, which cannot be divided.
const MOST: usize = 6;

/// Who may help.
pub(crate) enum Helpers {
    /// Nobody.
    None,
    /// Whoever idles, while `hungry` says that what is unpacked is waited for.
    Idle { hungry: Box<dyn Fn() -> bool + Send> },
    /// So many, always, each with ranges of so many bytes.
    #[cfg(test)]
    Always { count: usize, range_bytes: u64 },
}

impl Helpers {
    /// Whoever idles, whenever somebody does.
    pub(crate) fn whoever_idles() -> Self {
        Self::Idle { hungry: Box::new(|| true) }
    }
}

impl std::fmt::Debug for Helpers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Helpers")
    }
}

type Queue<J, A> = (Sender<Task<J, A>>, Receiver<Task<J, A>>);
type Work<J, A> = Arc<dyn Fn(J, &AtomicBool) -> A + Send + Sync>;

/// The threads, and what they are to do.
pub(crate) struct Crew<J, A> {
    helpers: Helpers,
    work: Work<J, A>,
    busy: Vec<Busy>,
    threads: Vec<JoinHandle<()>>,
    jobs: Option<Queue<J, A>>,
    abort: Arc<AtomicBool>,
}

impl<J, A> std::fmt::Debug for Crew<J, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

struct Task<J, A> {
    job: Arc<Mutex<Option<J>>>,
    reply: Sender<A>,
}

/// A job that was given out.
#[derive(Debug)]
pub(crate) struct Given<J, A> {
    job: Arc<Mutex<Option<J>>>,
    /// The answer of the helper who does it; hung up where he failed.
    pub(crate) reply: Receiver<A>,
}

fn take<J>(job: &Mutex<Option<J>>) -> Option<J> {
    job.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl<J, A> Given<J, A> {
    /// The job itself, if nobody has begun with it; nobody will then.
    pub(crate) fn take_back(&self) -> Option<J> {
        take(&self.job)
    }
}

impl<J: Send + 'static, A: Send + 'static> Crew<J, A> {
    /// One that does `work`, which should look at the flag it is given now and then: nobody wants the answer once it is set.
    pub(crate) fn new(helpers: Helpers, work: impl Fn(J, &AtomicBool) -> A + Send + Sync + 'static) -> Self {
        Self { helpers, work: Arc::new(work), busy: Vec::new(), threads: Vec::new(), jobs: None, abort: Arc::default() }
    }

    /// How many may help now. `idle`: nothing is given out.
    pub(crate) fn count(&mut self, idle: bool) -> usize {
        match &self.helpers {
            Helpers::None => 0,
            #[cfg(test)]
            Helpers::Always { count, .. } => *count,
            Helpers::Idle { hungry } => {
                if !hungry() || !budget::a_core_idles() {
                    if idle {
                        self.busy.clear();
                    }
                    return 0;
                }
                if budget::is_crowded() {
                    self.busy.pop();
                } else if self.busy.len() < MOST
                    && let Some(busy) = Busy::helper()
                {
                    self.busy.push(busy);
                }
                self.busy.len()
            }
        }
    }

    /// How large ranges are, where a test says it; every job is left to helpers then, so that it sees them at work.
    pub(crate) fn told_bytes(&self) -> Option<u64> {
        #[cfg(test)]
        if let Helpers::Always { range_bytes, .. } = self.helpers {
            return Some(range_bytes);
        }
        None
    }

    /// Gives a job to one of at most `count` threads.
    pub(crate) fn give(&mut self, job: J, count: usize) -> Given<J, A> {
        let (jobs, from) = self.jobs.get_or_insert_with(unbounded);
        let (reply, answer) = bounded(1);
        let job = Arc::new(Mutex::new(Some(job)));
        let _ = jobs.send(Task { job: Arc::clone(&job), reply });
        if self.threads.len() < count {
            let (from, work, abort) = (from.clone(), Arc::clone(&self.work), Arc::clone(&self.abort));
            let help = move || {
                for task in from {
                    if let Some(job) = take(&task.job) {
                        let _ = task.reply.send(work(job, &abort));
                    }
                }
            };
            // Without a thread the job stays, and is taken back when its turn comes.
            if let Ok(thread) = std::thread::Builder::new().name("unpack ahead".into()).spawn(help) {
                self.threads.push(thread);
            }
        }
        Given { job, reply: answer }
    }
}

impl<J, A> Drop for Crew<J, A> {
    fn drop(&mut self) {
        self.abort.store(true, Ordering::Relaxed);
        if let Some((jobs, from)) = self.jobs.take() {
            drop(jobs);
            while from.try_recv().is_ok() {}
        }
        for thread in self.threads.drain(..) {
            // A helper that panicked has said so; his job is done by the one in order.
            let _ = thread.join();
        }
    }
}
