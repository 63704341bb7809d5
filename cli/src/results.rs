//! Results on standard output, as text or as a line of JSON.

use std::fmt::Display;

use serde_json::{Map, Value};

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub struct Results {
    /// A line of JSON in place of text.
    pub json: bool,
}

impl Results {
    /// Prints text for people.
    pub fn text(self, text: impl Display) {
        if !self.json {
            println!("{text}");
        }
    }

    /// Prints a line for programs.
    pub fn value(self, value: &Value) {
        if self.json {
            println!("{value}");
        }
    }

    /// Prints named values.
    pub fn print<N: AsRef<str>>(self, values: &[(N, Value)]) {
        if self.json {
            let values = values
                .iter()
                .map(|(name, value)| (name.as_ref().to_owned(), value.clone()));
            println!("{}", Value::Object(values.collect::<Map<_, _>>()));
            return;
        }
        let widths = values.iter().map(|(name, _)| name.as_ref().len());
        let width = widths.max().unwrap_or(0);
        for (name, value) in values {
            let name = name.as_ref().replace('_', " ");
            match value {
                Value::String(text) => println!("{name:width$}  {text}"),
                value => println!("{name:width$}  {value}"),
            }
        }
    }
}
