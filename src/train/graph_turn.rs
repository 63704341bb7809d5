//! One graph of gradients at a time.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{ErrorKind, Result};

static TURN: Mutex<()> = Mutex::new(());

thread_local! {
    static MINE: Cell<bool> = const { Cell::new(false) };
}

/// A thread's turn to compute a loss and its gradients.
///
/// After each backward pass, burn 0.21 frees what it takes for unused in the graphs of all threads.
/// Nodes of a graph that another thread is just making can be taken for that, and what their
/// gradients would have been is then missing, without a word.
pub(super) struct GraphTurn(
    #[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>,
);

impl GraphTurn {
    /// Waits for it.
    ///
    /// # Errors
    /// [`ErrorKind::Thread`] when this thread has it already, and would wait for itself.
    pub(super) fn take() -> Result<Self> {
        if MINE.get() {
            return Err(ErrorKind::Thread {
                thread: "training",
                reason: "it was given to a thread of a pool that is in the middle of a step of another \
                         training; train in threads of their own (`std::thread`), or one after another"
                    .to_owned(),
            }.into());
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        MINE.set(true);
        Ok(Self(turn))
    }
}

impl Drop for GraphTurn {
    fn drop(&mut self) {
        MINE.set(false);
    }
}
