//! Calls of what others wrote, which may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::panic_text;
use crate::{ErrorKind, Result};

/// What something gives, or why it fails, by an error or a panic.
pub(super) fn guarded<T>(give: impl FnOnce() -> Result<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(give)) {
        Ok(given) => given.map_err(|error| format!("{error:?}")),
        Err(panic) => Err(panic_message(&*panic)),
    }
}

/// What something gives, where a panic is an error of the work that is named.
pub(super) fn caught<T>(thread: &'static str, give: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(give)).unwrap_or_else(|panic| {
        let reason = panic_message(&*panic);
        Err(ErrorKind::Thread { thread, reason }.into())
    })
}

pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic_text(panic).unwrap_or("for a reason it did not say");
    format!("it panicked: {text}")
}
