//! What programs print, of which nobody may be reading any more: after `| head`, or when a terminal
//! is closed. The macros of the standard library panic then, and hours of training would be gone
//! with them.
#![allow(
    unused_macros,
    reason = "some programs have nothing to say on one of them"
)]

/// Prints a line on standard output, or nothing once that is closed.
macro_rules! println {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}

/// The same on standard error.
macro_rules! eprintln {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($line)*);
    }};
}
