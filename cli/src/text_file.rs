//! Files of text that a program is given.

use std::error::Error;
use std::path::Path;

/// The contents of a file, without a byte order mark; an error names the file.
pub fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    let text = std::fs::read_to_string(path);
    let mut text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// The lines of a file that say something, without the quotes that stand around some of them in
/// CSV.
pub fn lines(path: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let text = read(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.map(unquoted).collect();
    match lines.is_empty() {
        true => Err(format!("{} is empty: it must have an id a line", path.display()).into()),
        false => Ok(lines),
    }
}

/// A line without the quotes around it, where quotes inside stand twice.
fn unquoted(line: &str) -> String {
    let inside = line
        .strip_prefix('"')
        .and_then(|line| line.strip_suffix('"'));
    let alone = |text: &&str| !text.replace("\"\"", "").contains('"');
    match inside.filter(alone) {
        Some(text) => text.replace("\"\"", "\""),
        None => line.to_owned(),
    }
}
