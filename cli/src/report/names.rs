//! What runs are called.

use std::path::{Path, PathBuf};

/// The last name of each path, with as many before it as tell it from the others.
pub fn names(paths: &[PathBuf]) -> Vec<String> {
    let last = |path: &Path, count: usize| -> PathBuf {
        let parts: Vec<_> = path.components().collect();
        parts[parts.len().saturating_sub(count)..].iter().collect()
    };
    let longest = paths.iter().map(|path| path.components().count()).max();
    let longest = longest.unwrap_or_default();
    let name = |(place, path): (usize, &PathBuf)| {
        let is_own = |&count: &usize| {
            let others = paths
                .iter()
                .enumerate()
                .filter(|&(other, _)| other != place);
            let mut others = others.map(|(_, other)| last(other, count));
            others.all(|other| other != last(path, count))
        };
        match (1..=longest).find(is_own) {
            Some(count) => last(path, count).display().to_string(),
            // A folder that is named twice.
            None => format!("{} ({})", last(path, 1).display(), place + 1),
        }
    };
    paths.iter().enumerate().map(name).collect()
}
