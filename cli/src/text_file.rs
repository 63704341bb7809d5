//! Files of text that a program is given.

use std::error::Error;
use std::path::Path;

/// The contents of a file; an error names it.
pub fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
