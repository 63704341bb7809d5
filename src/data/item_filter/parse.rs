//! From the text of a filter to its expression.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::expression::{Expression, Is, Literal, Relation, Test, Value, character};
use crate::data::fields::date;
use crate::{Error, Result};

/// Bounds of what a request may ask for.
const LONGEST: usize = 64 << 10;
const MOST_TESTS: usize = 1_000;
const DEEPEST: usize = 64;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A column, or a word of the language.
    Word(String),
    /// A column in backticks.
    Column(String),
    Value(Value),
    Relation(Relation),
    Open,
    Close,
    Comma,
}

/// The words that are no columns unless they are in backticks.
const WORDS: [&str; 8] = ["and", "or", "not", "in", "is", "missing", "true", "false"];

/// A token with the bytes from where to where it is.
type Placed = (Token, usize, usize);

pub(super) fn parse(text: &str) -> Result<Expression> {
    if text.len() > LONGEST {
        let length = format!("{} bytes long", text.len());
        return Err(Error::invalid(
            "filter",
            length,
            format!("may have {LONGEST} at most"),
        ));
    }
    let tokens = Lexer { text, at: 0 }.tokens()?;
    let mut parser = FilterParser {
        text,
        tokens: &tokens,
        next: 0,
        tests: 0,
    };
    let expression = parser.any(0)?;
    match parser.peek() {
        None => Ok(expression),
        Some((Token::Close, at, _)) => Err(fault(text, *at, "this parenthesis was never opened")),
        Some((_, at, _)) => Err(fault(text, *at, "`and`, `or` or the end must follow")),
    }
}

/// An error at a byte of a filter.
fn fault(text: &str, at: usize, reason: impl std::fmt::Display) -> Error {
    let rest: String = text
        .get(at..)
        .unwrap_or_default()
        .chars()
        .take(20)
        .collect();
    let place = match rest.trim() {
        "" => "at its end".to_owned(),
        rest => format!("at character {}, before `{rest}`", character(text, at)),
    };
    Error::invalid("filter", format!("`{text}`"), format!("{place}: {reason}"))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn tokens(mut self) -> Result<Vec<Placed>> {
        let mut tokens = Vec::new();
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            let start = self.at;
            let Some(first) = self.rest().chars().next() else {
                return Ok(tokens);
            };
            let token = self.token(first)?;
            tokens.push((token, start, self.at));
        }
    }

    fn token(&mut self, first: char) -> Result<Token> {
        const SYMBOLS: [(&str, Token); 11] = [
            ("==", Token::Relation(Relation::Equal)),
            ("!=", Token::Relation(Relation::Other)),
            ("<>", Token::Relation(Relation::Other)),
            ("<=", Token::Relation(Relation::AtMost)),
            (">=", Token::Relation(Relation::AtLeast)),
            ("=", Token::Relation(Relation::Equal)),
            ("<", Token::Relation(Relation::Less)),
            (">", Token::Relation(Relation::Greater)),
            ("(", Token::Open),
            (")", Token::Close),
            (",", Token::Comma),
        ];
        for (symbol, token) in SYMBOLS {
            if self.rest().starts_with(symbol) {
                self.at += symbol.len();
                return Ok(token);
            }
        }
        match first {
            '"' | '\'' => self
                .quoted(first)
                .map(|text| Token::Value(Value::Text(text))),
            '`' => self.quoted(first).map(Token::Column),
            _ if first.is_ascii_digit() || matches!(first, '-' | '+' | '.') => self.number(),
            _ if first.is_alphabetic() || first == '_' => {
                let word = self.take(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
                Ok(Token::Word(word))
            }
            _ => Err(fault(
                self.text,
                self.at,
                "no expression has this character outside of quotes",
            )),
        }
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let taken: String = self.rest().chars().take_while(|&c| belongs(c)).collect();
        self.at += taken.len();
        taken
    }

    fn quoted(&mut self, quote: char) -> Result<String> {
        let start = self.at;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((place, character)) = characters.next() {
            match character {
                _ if character == quote => {
                    self.at = start + place + 1;
                    return Ok(text);
                }
                '\\' if quote != '`' => match characters.next() {
                    Some((_, escaped)) if matches!(escaped, '\\' | '"' | '\'') => {
                        text.push(escaped)
                    }
                    _ => {
                        let reason = "`\\` may stand before a quote or another `\\` alone";
                        return Err(fault(self.text, start + place, reason));
                    }
                },
                other => text.push(other),
            }
        }
        Err(fault(self.text, start, "this quote is never closed"))
    }

    fn number(&mut self) -> Result<Token> {
        let start = self.at;
        let word = self.take(|c| c.is_alphanumeric() || matches!(c, '.' | ':' | '-' | '+' | '_'));
        let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
        let value = number
            .map(Value::Number)
            .or_else(|| date(&word).map(Value::Date));
        value.map(Token::Value).ok_or_else(|| {
            let reason = "this is neither a number, such as 3.5, nor a date, such as 2026-11-28";
            fault(self.text, start, reason)
        })
    }
}

struct FilterParser<'a> {
    text: &'a str,
    tokens: &'a [Placed],
    next: usize,
    tests: usize,
}

impl<'a> FilterParser<'a> {
    fn peek(&self) -> Option<&'a Placed> {
        self.tokens.get(self.next)
    }

    /// The byte at which the next token begins.
    fn at(&self) -> usize {
        self.peek().map_or(self.text.len(), |&(_, at, _)| at)
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        let token = self.tokens.get(self.next + ahead);
        matches!(token, Some((Token::Word(found), ..)) if found.eq_ignore_ascii_case(word))
    }

    /// Whether the next token is a word of the language, which is passed over.
    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.is_word(0, word);
        self.next += usize::from(is_next);
        is_next
    }

    fn takes_token(&mut self, token: &Token) -> bool {
        let is_next = self.peek().is_some_and(|(next, ..)| next == token);
        self.next += usize::from(is_next);
        is_next
    }

    fn fault<T>(&self, reason: impl std::fmt::Display) -> Result<T> {
        Err(fault(self.text, self.at(), reason))
    }

    fn any(&mut self, depth: usize) -> Result<Expression> {
        let first = self.all(depth)?;
        if !self.is_word(0, "or") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.takes("or") {
            all.push(self.all(depth)?);
        }
        Ok(Expression::Any(all))
    }

    fn all(&mut self, depth: usize) -> Result<Expression> {
        let mut all = vec![self.part(depth)?];
        while self.takes("and") {
            all.push(self.part(depth)?);
        }
        match all.pop() {
            Some((only, _)) if all.is_empty() => Ok(only),
            last => {
                all.extend(last);
                Ok(Expression::All(all))
            }
        }
    }

    /// A part of what must all hold, with its text.
    fn part(&mut self, depth: usize) -> Result<(Expression, String)> {
        let start = self.at();
        let part = self.unary(depth)?;
        let last = self
            .next
            .checked_sub(1)
            .and_then(|last| self.tokens.get(last));
        let end = last.map_or(start, |&(_, _, end)| end);
        let text = self.text.get(start..end).unwrap_or_default();
        Ok((part, text.to_owned()))
    }

    fn unary(&mut self, depth: usize) -> Result<Expression> {
        if depth > DEEPEST {
            return self.fault(format!("more than {DEEPEST} levels are too many"));
        }
        if self.takes("not") {
            return Ok(Expression::Not(Box::new(self.unary(depth + 1)?)));
        }
        if self.takes_token(&Token::Open) {
            let inside = self.any(depth + 1)?;
            if !self.takes_token(&Token::Close) {
                return self.fault("`)`, `and` or `or` must follow");
            }
            return Ok(inside);
        }
        self.test()
    }

    fn test(&mut self) -> Result<Expression> {
        let at = self.at();
        self.tests += 1;
        if self.tests > MOST_TESTS {
            return self.fault(format!("more than {MOST_TESTS} comparisons are too many"));
        }
        let column = match self.peek() {
            Some((Token::Column(column), ..)) => column.clone(),
            Some((Token::Word(word), ..)) if !is_reserved(word) => word.clone(),
            Some((Token::Word(_), ..)) => {
                return self
                    .fault("a column must come here; one that is called so is in backticks");
            }
            Some((Token::Value(Value::Text(_)), ..)) => {
                return self.fault("a column must come here, without quotes or in backticks");
            }
            _ => return self.fault("a column, `not` or `(` must come here"),
        };
        self.next += 1;
        let test = |is| Expression::Test(Test { column, at, is });
        if self.takes("is") {
            let present = self.takes("not");
            if !self.takes("missing") {
                return self.fault("`missing` or `not missing` must follow `is`");
            }
            let missing = test(Is::Missing);
            return Ok(if present {
                Expression::Not(Box::new(missing))
            } else {
                missing
            });
        }
        if self.is_word(0, "not") && self.is_word(1, "in") {
            self.next += 2;
            return Ok(test(Is::NoneOf(self.list()?)));
        }
        if self.takes("in") {
            return Ok(test(Is::OneOf(self.list()?)));
        }
        if let Some((Token::Relation(comparison), ..)) = self.peek() {
            self.next += 1;
            return Ok(test(Is::Compared(*comparison, self.literal()?)));
        }
        Ok(test(Is::True))
    }

    fn list(&mut self) -> Result<Vec<Literal>> {
        if !self.takes_token(&Token::Open) {
            return self.fault("`(` must follow `in`");
        }
        let mut values = vec![self.literal()?];
        while self.takes_token(&Token::Comma) {
            values.push(self.literal()?);
        }
        if !self.takes_token(&Token::Close) {
            return self.fault("`,` or `)` must follow");
        }
        Ok(values)
    }

    fn literal(&mut self) -> Result<Literal> {
        let at = self.at();
        let value = match self.peek() {
            Some((Token::Value(value), ..)) => value.clone(),
            Some((Token::Word(word), ..)) if word.eq_ignore_ascii_case("true") => {
                Value::Boolean(true)
            }
            Some((Token::Word(word), ..)) if word.eq_ignore_ascii_case("false") => {
                Value::Boolean(false)
            }
            Some((Token::Word(word), ..)) if !is_reserved(word) => {
                let reason = match word.to_lowercase().as_str() {
                    "yes" | "no" => {
                        "a column of yes and no is one of true and false, and stands alone, as in `in_stock` \
                         or `not in_stock`; a text is in quotes"
                    }
                    _ => "a text is in quotes",
                };
                return self.fault(format!("{reason}: \"{word}\""));
            }
            _ => return self.fault("a value must come here: a number, a date or a text in quotes"),
        };
        self.next += 1;
        Ok(Literal { value, at })
    }
}

fn is_reserved(word: &str) -> bool {
    WORDS
        .iter()
        .any(|reserved| word.eq_ignore_ascii_case(reserved))
}
