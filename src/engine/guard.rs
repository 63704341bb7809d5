//! Calls of what others wrote, which may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Result;
use crate::error::panic_text;

/// What something gives, or why it fails, by an error or a panic.
pub(super) fn guarded<T>(give: impl FnOnce() -> Result<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(give)) {
        Ok(given) => given.map_err(|error| format!("{error:?}")),
        Err(panic) => Err(panic_message(&*panic)),
    }
}

pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic_text(panic).unwrap_or("for a reason it did not say");
    format!("it panicked: {text}")
}
