//! How errors are made, and how they are printed.

use std::fmt;
use std::path::Path;

use super::Error;

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl Error {
    /// An [`Error::Io`] for use with `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::Io {
            action,
            path: path.to_owned(),
            cause,
        }
    }

    /// An [`Error::Other`]: what was being done, and why it failed.
    ///
    /// ```
    /// use std::error::Error as _;
    ///
    /// let cause = "x".parse::<u32>().unwrap_err();
    /// let error = seqrec::Error::other("could not ask the shop", cause);
    /// assert_eq!(error.to_string(), "could not ask the shop");
    /// assert_eq!(error.source().unwrap().to_string(), "invalid digit found in string");
    /// assert_eq!(format!("{error:?}"), "could not ask the shop: invalid digit found in string");
    /// ```
    pub fn other(
        context: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Other {
            context: context.into(),
            cause: cause.into(),
        }
    }

    /// An [`Error::InvalidValue`]: a field, its value, and what it must be.
    pub fn invalid(field: &'static str, value: impl ToString, reason: impl Into<String>) -> Self {
        Self::InvalidValue {
            field,
            value: value.to_string(),
            reason: reason.into(),
        }
    }
}

/// What a panic said, if anything.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> Option<&str> {
    (panic.downcast_ref::<&str>().copied())
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

/// An [`Error::Damaged`].
pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        reason: reason.into(),
    }
}
