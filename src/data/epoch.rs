//! The batches of an epoch, made in the background.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::HostBatch;

/// The batches of one epoch, in order, made by a background thread.
#[derive(Debug)]
pub(crate) struct EpochBatches {
    /// `None` once the iterator is being dropped, so that the worker stops.
    receiver: Option<Receiver<HostBatch>>,
    worker: Option<JoinHandle<()>>,
    waited: Duration,
}

impl EpochBatches {
    /// Batches that a thread of their own makes: `make` is given what takes the next one, which is
    /// false once no more are wanted.
    pub(super) fn spawn(
        make: impl FnOnce(&mut dyn FnMut(HostBatch) -> bool) + Send + 'static,
    ) -> Self {
        // Enough to ride out a slow batch, and too few to hold much memory.
        let (sender, receiver) = sync_channel(4);
        // The receiver is gone when training stopped early.
        let worker = std::thread::spawn(move || make(&mut |batch| sender.send(batch).is_ok()));
        Self {
            receiver: Some(receiver),
            worker: Some(worker),
            waited: Duration::ZERO,
        }
    }

    /// How long the caller has waited for batches so far.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

impl Iterator for EpochBatches {
    type Item = HostBatch;

    fn next(&mut self) -> Option<HostBatch> {
        let start = Instant::now();
        let batch = self.receiver.as_ref()?.recv().ok();
        self.waited += start.elapsed();
        batch
    }
}

impl Drop for EpochBatches {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(worker) = self.worker.take() {
            // A panic of the worker has been printed; raising it again here could abort.
            let _ = worker.join();
        }
    }
}
