//! Threads that run the channels of calls, and the jobs they are given.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::{Error, ErrorKind, Result};

/// Threads that take jobs from one queue.
///
/// Each is a pool of its own for what channels do in parallel: with many calls at once, dividing
/// one among all cores would only make the others wait.
pub(super) struct Workers {
    jobs: Sender<Job>,
    queue: Receiver<Job>,
    /// The number of threads, those that are stuck included.
    threads: Arc<AtomicUsize>,
}

/// A job, and how far it has come.
type Job = (Arc<JobProgress>, Box<dyn FnOnce() + Send>);

/// How far a job has come.
pub(super) struct JobProgress {
    progress: AtomicU8,
    stuck: Arc<Stuck>,
}

/// How many jobs of a channel keep a thread though no one waits for them any more: those of one
/// stage, and those of all stages there were.
#[derive(Default)]
pub(super) struct Stuck {
    of_stage: AtomicUsize,
    of_all: Arc<AtomicUsize>,
}

impl Stuck {
    /// A new stage's, with what is counted for all of them.
    pub(super) fn new(of_all: Arc<AtomicUsize>) -> Self {
        let of_stage = AtomicUsize::new(0);
        Self { of_stage, of_all }
    }

    /// Whether the channel may be asked: while no job of its own is stuck, and no more than
    /// `threads` of those before it, so that one which never comes back can't take a thread more
    /// with every stage that is loaded.
    pub(super) fn is_free(&self, threads: usize) -> bool {
        self.of_stage.load(Ordering::Acquire) == 0 && self.of_all.load(Ordering::Acquire) < threads
    }

    fn add(&self) {
        self.of_stage.fetch_add(1, Ordering::AcqRel);
        self.of_all.fetch_add(1, Ordering::AcqRel);
    }

    fn remove(&self) {
        self.of_stage.fetch_sub(1, Ordering::AcqRel);
        self.of_all.fetch_sub(1, Ordering::AcqRel);
    }
}

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;
const GIVEN_UP: u8 = 3;

impl Workers {
    pub(super) fn new(threads: usize) -> Result<Self> {
        let (jobs, queue) = unbounded();
        let workers = Self {
            jobs,
            queue,
            threads: Arc::default(),
        };
        for _ in 0..threads {
            workers.start_thread()?;
        }
        Ok(workers)
    }

    fn start_thread(&self) -> Result<()> {
        let failed = |reason: String| {
            Error::from(ErrorKind::Thread {
                thread: "recall",
                reason,
            })
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .thread_name(|_| "seqrec-recall".to_owned())
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let queue = self.queue.clone();
        let threads = self.threads.clone();
        threads.fetch_add(1, Ordering::Relaxed);
        pool.spawn(move || {
            for job in queue {
                if !run(job) {
                    break;
                }
            }
            threads.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(())
    }

    /// Puts a job into the queue. `stuck` is one for all jobs of a channel.
    #[expect(
        clippy::expect_used,
        reason = "the queue is open as long as this holds its other end"
    )]
    pub(super) fn submit(
        &self,
        stuck: &Arc<Stuck>,
        run: impl FnOnce() + Send + 'static,
    ) -> Arc<JobProgress> {
        let state = Arc::new(JobProgress {
            progress: AtomicU8::new(QUEUED),
            stuck: stuck.clone(),
        });
        let job = (state.clone(), Box::new(run) as Box<_>);
        self.jobs.send(job).expect("this holds a receiver");
        state
    }

    /// No longer waits for a job. One that is still in the queue will not be run; the thread of
    /// one that is running is replaced, and ends with it.
    pub(super) fn give_up(&self, state: &JobProgress) {
        let progress = &state.progress;
        let queued =
            progress.compare_exchange(QUEUED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire);
        if queued.is_ok() {
            return;
        }
        // Before the thread can see that it was given up, since it then takes this back.
        state.stuck.add();
        let running =
            progress.compare_exchange(RUNNING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire);
        match running {
            // Where no thread can be had, the queue is longer until this one comes back.
            Ok(_) => drop(self.start_thread()),
            Err(_) => state.stuck.remove(),
        }
    }

    /// The number of threads, those that are stuck included.
    pub(super) fn threads(&self) -> usize {
        self.threads.load(Ordering::Relaxed)
    }

    /// How many jobs wait for a thread.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }
}

/// Runs a job, and says whether its thread continues.
fn run((state, job): Job) -> bool {
    let progress = &state.progress;
    let started = progress.compare_exchange(QUEUED, RUNNING, Ordering::AcqRel, Ordering::Acquire);
    if started.is_err() {
        return true;
    }
    // A job says itself what became of it; this is for the thread's sake.
    let _ = catch_unwind(AssertUnwindSafe(job));
    if progress.swap(DONE, Ordering::AcqRel) == GIVEN_UP {
        state.stuck.remove();
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_job_that_is_given_up_is_replaced_or_never_run() {
        let workers = Workers::new(1).unwrap();
        let stuck = Arc::new(Stuck::default());
        let (release, held) = unbounded::<()>();
        let (said, heard) = unbounded();
        let first = workers.submit(&stuck, move || {
            let _ = held.recv();
        });
        let say = |what| {
            let said = said.clone();
            move || said.send(what).unwrap()
        };
        let second = workers.submit(&stuck, say("second"));
        let begun = Instant::now();
        while first.progress.load(Ordering::Acquire) != RUNNING {
            assert!(begun.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        workers.give_up(&second);
        assert!(stuck.is_free(1));
        workers.give_up(&first);
        assert!(!stuck.is_free(2));
        // The next stage's channel may be asked, but not without end.
        let next = Stuck::new(stuck.of_all.clone());
        assert!(next.is_free(2) && !next.is_free(1));
        workers.submit(&stuck, say("third"));
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)), Ok("third"));
        assert_eq!(workers.threads(), 2);
        release.send(()).unwrap();
        while !stuck.is_free(1) || workers.threads() > 1 {
            assert!(begun.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        workers.submit(&stuck, || panic!("a job may panic"));
        workers.submit(&stuck, say("fourth"));
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)), Ok("fourth"));
        assert!(heard.is_empty());
    }
}
