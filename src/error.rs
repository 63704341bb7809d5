//! The crate's one error type.

mod kind;

use std::fmt;
use std::path::Path;

pub use kind::ErrorKind;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate: a pointer to its [`ErrorKind`], so that results are small to move.
///
/// The message says what was wrong and where, and holds the cause, but for
/// [`Other`](ErrorKind::Other), whose cause is the `source`: no report prints one a second time.
/// `Debug` prints the message and its sources, so that a `main` that returns an error tells its
/// reader what to do.
///
/// ```
/// use seqrec::ErrorKind;
/// use seqrec::data::InteractionReader;
///
/// let error = InteractionReader::detect("nowhere.csv").unwrap_err();
/// assert!(matches!(error.kind(), ErrorKind::Io { action: "read", .. }));
/// assert_eq!(size_of_val(&error), size_of::<usize>());
/// ```
pub struct Error(Box<ErrorKind>);

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

/// An error of your own, in a channel, an index, an observer or a loader: an
/// [`ErrorKind::Own`], or what it was before where the box holds an [`Error`].
///
/// ```
/// use seqrec::ErrorKind;
///
/// fn price(text: &str) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
///     Ok(text.parse()?)
/// }
///
/// fn in_a_channel() -> seqrec::Result<f64> {
///     let text = std::fs::read_to_string("nowhere")?; // an io::Error
///     Ok(price(&text)?) // anything in a box
/// }
///
/// let error = in_a_channel().unwrap_err();
/// let ErrorKind::Own(cause) = error.kind() else { panic!("{error}") };
/// assert!(cause.downcast_ref::<std::io::Error>().is_some());
/// ```
impl From<Box<dyn std::error::Error + Send + Sync>> for Error {
    fn from(cause: Box<dyn std::error::Error + Send + Sync>) -> Self {
        match cause.downcast::<Self>() {
            Ok(error) => *error,
            Err(cause) => ErrorKind::Own(cause).into(),
        }
    }
}

/// An error of input and output in code of your own, as an [`ErrorKind::Own`].
impl From<std::io::Error> for Error {
    fn from(cause: std::io::Error) -> Self {
        ErrorKind::Own(cause.into()).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
    }
}

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
    /// What went wrong, with its particulars.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// What went wrong, to take it apart.
    pub fn into_kind(self) -> ErrorKind {
        *self.0
    }

    /// An [`ErrorKind::Io`] for use with `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| {
            Self::from(ErrorKind::Io {
                action,
                path: path.to_owned(),
                cause,
            })
        }
    }

    /// An [`ErrorKind::Other`]: what was being done, and why it failed.
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
        Self::from(ErrorKind::Other {
            context: context.into(),
            cause: cause.into(),
        })
    }

    /// An [`ErrorKind::InvalidValue`]: a field, its value, and what it must be.
    pub fn invalid(field: &'static str, value: impl ToString, reason: impl Into<String>) -> Self {
        Self::from(ErrorKind::InvalidValue {
            field,
            value: value.to_string(),
            reason: reason.into(),
        })
    }
}

/// What a panic said, if anything.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> Option<&str> {
    (panic.downcast_ref::<&str>().copied())
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

/// An [`ErrorKind::Damaged`].
pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Error {
    Error::from(ErrorKind::Damaged {
        path: path.to_owned(),
        reason: reason.into(),
    })
}
