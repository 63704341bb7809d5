//! The shapes and texts that pictures are made of.

use std::fmt::{self, Write as _};

use super::palette::style;
use super::picture::Picture;

/// A rectangle of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Frame {
    pub(super) fn right(self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(self) -> f64 {
        self.top + self.height
    }

    /// Whether two of them have a point in common.
    pub(super) fn meets(self, other: Self) -> bool {
        self.left < other.right()
            && other.left < self.right()
            && self.top < other.bottom()
            && other.top < self.bottom()
    }
}

/// Where a text stands: its point, and which part of it is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum At {
    Start(f64, f64),
    Middle(f64, f64),
    End(f64, f64),
}

/// A picture that is being drawn.
#[derive(Debug)]
pub(super) struct Svg {
    body: String,
}

impl Svg {
    pub(super) fn new() -> Self {
        Self {
            body: String::new(),
        }
    }

    /// Adds a piece of SVG, whose texts are [`Escaped`].
    pub(super) fn add(&mut self, piece: fmt::Arguments<'_>) {
        let written = self.body.write_fmt(piece);
        debug_assert!(written.is_ok(), "a string takes whatever is written");
    }

    /// Adds a text of a class and a size, which is its height in pixels.
    pub(super) fn text(&mut self, at: At, (class, size): (&str, f64), text: &str) {
        let (x, y, anchor) = match at {
            At::Start(x, y) => (x, y, ""),
            At::Middle(x, y) => (x, y, " text-anchor=\"middle\""),
            At::End(x, y) => (x, y, " text-anchor=\"end\""),
        };
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\"{anchor} class=\"{class}\" font-size=\"{size}\">{}</text>",
            Escaped(text)
        ));
    }

    /// Adds a straight line of a class.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    /// The names of series or groups with their colors in as many rows as they need, and the
    /// height of the rows.
    pub(super) fn legend(
        &mut self,
        (left, top): (f64, f64),
        (width, size): (f64, f64),
        entries: &[(String, String)],
    ) -> f64 {
        let (mut x, mut rows) = (left, 1.0);
        for (class, name) in entries {
            let name = cut(name, width - 2.0 * size, size);
            let needed = width_of(&name, size) + 1.4 * size;
            if x > left && x + needed > left + width {
                (x, rows) = (left, rows + 1.0);
            }
            let y = top + (rows - 0.5) * 1.5 * size;
            self.add(format_args!(
                "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"{:.1}\"/>",
                x + 0.4 * size,
                0.38 * size
            ));
            let at = At::Start(x + 1.05 * size, y + 0.36 * size);
            self.text(at, ("", size), &name);
            x += needed + size;
        }
        rows * 1.5 * size
    }

    /// The whole picture, which is as large as it says where nothing else says so.
    pub(super) fn finish(self, name: &str, (width, height): (f64, f64)) -> Picture {
        Picture(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"seqrec\" viewBox=\"0 0 {width} {height:.0}\" \
             width=\"{width}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\"><style>{}</style>\
             <rect class=\"paper\" width=\"100%\" height=\"100%\"/>{}</svg>",
            Escaped(name),
            style(),
            self.body
        ))
    }
}

/// Text as SVG and HTML have it, without the characters that no document may hold.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\n' | '\t' => f.write_str(" ")?,
                '\u{fffe}' | '\u{ffff}' => f.write_str("\u{fffd}")?,
                control if control.is_control() => f.write_str("\u{fffd}")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// About the width of a text. Fonts are those of whoever looks at it.
pub(super) fn width_of(text: &str, size: f64) -> f64 {
    let of = |character: char| match character {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | '\'' | ' ' => 0.3,
        'm' | 'w' | 'M' | 'W' | '@' => 0.9,
        'A'..='Z' => 0.68,
        // Of the East, whose characters are squares.
        '\u{1100}'.. => 1.0,
        _ => 0.56,
    };
    size * text.chars().map(of).sum::<f64>()
}

/// A text that is no wider than so much, its end left out where it is.
pub(super) fn cut(text: &str, width: f64, size: f64) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for character in text.chars() {
        short.push(character);
        if width_of(&short, size) + 0.6 * size > width {
            short.pop();
            break;
        }
    }
    short.truncate(short.trim_end().len());
    short + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_out_of_its_element() {
        let text = "<b> & \"c\"\u{0}\nd";
        assert_eq!(
            Escaped(text).to_string(),
            "&lt;b&gt; &amp; &quot;c&quot;\u{fffd} d"
        );
    }

    #[test]
    fn a_cut_text_is_as_wide_as_it_may_be() {
        assert_eq!(cut("short", 100.0, 10.0), "short");
        let long = cut("a title that goes on and on", 60.0, 10.0);
        assert!(
            long.ends_with('…') && width_of(&long, 10.0) <= 65.0,
            "{long}"
        );
        assert_eq!(cut("wide", 0.0, 10.0), "…");
    }
}
