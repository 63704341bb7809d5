//! A drawn picture.

use std::fmt;
use std::io::Write as _;
use std::path::Path;

use crate::Result;
use crate::files::{begins_with, replace_file};

/// A drawn picture: an SVG, which a page of HTML may hold as it is [displayed](fmt::Display), or a
/// file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture(pub(super) String);

/// The beginning of files of ours.
const MARK: &str = "<!-- drawn by seqrec -->\n";

impl Picture {
    /// Writes the picture into a file.
    ///
    /// # Errors
    /// [`ErrorKind::NotOurs`](crate::ErrorKind::NotOurs) when the file is there and was not drawn
    /// by this crate, and [`ErrorKind::Io`](crate::ErrorKind::Io) when it can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        replace_file(path.as_ref(), begins_with(MARK.as_bytes()), |file| {
            file.write_all([MARK, &self.0, "\n"].concat().as_bytes())
        })
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    #[test]
    fn a_file_of_somebody_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.svg");
        Picture("<svg/>".to_owned()).save(&path).unwrap();
        Picture("<svg></svg>".to_owned()).save(&path).unwrap();
        std::fs::write(&path, "<svg>mine</svg>").unwrap();
        let refused = Picture("<svg/>".to_owned()).save(&path);
        assert!(matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::NotOurs { .. })
        ));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "<svg>mine</svg>");
    }
}
