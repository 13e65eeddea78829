//! A text cut into words.

use super::{ParseError, ParseErrorKind};
use crate::TextPlace;
use crate::verbatim::Reading;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, number, address, or a sign that stands between them such as `.` or `:`.
    Word,
    /// A text in quotes, without them.
    Quoted,
    /// `{ } ( ) , = @ & | ^ ! + < >` and the two-character comparisons.
    Symbol,
    /// A line break or `;`.
    Separator,
    /// A part of a rule that nft hid behind a `#` because it could not print it.
    Hidden,
    /// The end of the text.
    End,
}

/// One token and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) line: usize,
    pub(super) column: usize,
    /// Where it begins and ends in the text, in bytes, quotes included.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token<'_> {
    pub(super) const fn place(&self) -> TextPlace {
        TextPlace {
            line: self.line,
            column: self.column,
        }
    }

    /// Whether it is this word, sign or symbol.
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Symbol) && self.text == text
    }

    pub(super) fn error(&self, kind: impl Into<ParseErrorKind>) -> ParseError {
        ParseError {
            line: self.line,
            column: self.column,
            kind: kind.into(),
        }
    }

    pub(super) fn bad_value(&self, expected: &'static str) -> ParseError {
        self.error(ParseErrorKind::BadValue {
            value: self.text.to_owned(),
            expected,
        })
    }

    pub(super) fn unexpected(&self, expected: &'static str) -> ParseError {
        let found = match self.kind {
            Kind::End => "the end of the text".to_owned(),
            Kind::Separator => "the end of the line".to_owned(),
            Kind::Word | Kind::Quoted | Kind::Symbol | Kind::Hidden => format!("{:?}", self.text),
        };
        self.error(ParseErrorKind::Unexpected { expected, found })
    }

    pub(super) fn unsupported(&self, what: impl Into<String>) -> ParseError {
        self.error(ParseErrorKind::Unsupported { what: what.into() })
    }
}

/// Cuts a text. `#` starts a comment up to the end of the line, a backslash at the end of a line joins it to the
/// next. In a dump any character may occur, and a comment may be a part of a rule that nft could not print.
pub(super) fn tokenize(text: &str, reading: Reading) -> Result<Vec<Token<'_>>, ParseError> {
    let mut lexer = Lexer {
        reading,
        whole: text.len(),
        rest: text,
        line: 1,
        column: 1,
    };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token()?;
        tokens.push(token);
        if token.kind == Kind::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    reading: Reading,
    /// Bytes of the whole text.
    whole: usize,
    rest: &'a str,
    line: usize,
    column: usize,
}

const SYMBOLS: [&str; 18] = [
    "==", "!=", "<=", ">=", "{", "}", "(", ")", ",", "=", "@", "&", "|", "^", "!", "+", "<", ">",
];

impl<'a> Lexer<'a> {
    fn token(&mut self) -> Result<Token<'a>, ParseError> {
        self.skip_blanks();
        let Some(first) = self.rest.chars().next() else {
            return Ok(self.take(Kind::End, 0));
        };
        if matches!(first, '\n' | ';') {
            let token = self.take(Kind::Separator, 1);
            if first == '\n' {
                self.line += 1;
                self.column = 1;
            }
            return Ok(token);
        }
        if first == '"' {
            return self.quoted();
        }
        if first == '#' {
            return Ok(self.take(Kind::Hidden, self.line_length()));
        }
        if let Some(symbol) = SYMBOLS.iter().find(|one| self.rest.starts_with(**one)) {
            return Ok(self.take(Kind::Symbol, symbol.len()));
        }
        let length = word_length(self.rest);
        if length == 0 && self.reading == Reading::Dump {
            return Ok(self.take(Kind::Symbol, first.len_utf8()));
        }
        if length == 0 {
            let bad = ParseErrorKind::BadCharacter { character: first };
            return Err(self.take(Kind::Word, 0).error(bad));
        }
        Ok(self.take(Kind::Word, length))
    }

    fn skip_blanks(&mut self) {
        loop {
            let is_joint = self.rest.starts_with("\\\n");
            match self.rest.chars().next() {
                Some(' ' | '\t' | '\r') => self.skip(1),
                Some('#') if self.hides_rule() => return,
                Some('#') => self.skip(self.line_length()),
                Some('\\') if is_joint => {
                    self.skip(2);
                    self.line += 1;
                    self.column = 1;
                }
                _ => return,
            }
        }
    }

    fn line_length(&self) -> usize {
        self.rest.find('\n').unwrap_or(self.rest.len())
    }

    /// Whether the comment here is what nft makes of a match or target of iptables that it does not know.
    fn hides_rule(&self) -> bool {
        let comment = self.rest[1..self.line_length()].trim();
        let is_rule = comment.starts_with("xt_") || comment.contains("counter packets ");
        self.reading == Reading::Dump && is_rule
    }

    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.column += skipped.chars().count();
        self.rest = rest;
    }

    fn take(&mut self, kind: Kind, bytes: usize) -> Token<'a> {
        let start = self.whole - self.rest.len();
        let token = Token {
            kind,
            text: &self.rest[..bytes],
            line: self.line,
            column: self.column,
            start,
            end: start + bytes,
        };
        self.skip(bytes);
        token
    }

    fn quoted(&mut self) -> Result<Token<'a>, ParseError> {
        let inside = &self.rest[1..];
        match inside.find(['"', '\n']) {
            Some(end) if inside[end..].starts_with('"') => {
                let token = self.take(Kind::Quoted, end + 2);
                Ok(Token {
                    text: &inside[..end],
                    ..token
                })
            }
            _ if self.reading == Reading::Dump => Ok(self.take(Kind::Hidden, self.line_length())),
            _ => {
                let token = self.take(Kind::Quoted, 1);
                Err(token.error(ParseErrorKind::UnterminatedQuote))
            }
        }
    }
}

/// How many bytes the word at the start has. A single `:` at its end is a token of its own, as in `80: accept`.
fn word_length(text: &str) -> usize {
    let in_word = |c: char| c.is_ascii_alphanumeric() || "_./:-*\\[]".contains(c);
    let word = &text[..text.find(|c| !in_word(c)).unwrap_or(text.len())];
    let has_colon = word.len() > 1 && word.ends_with(':') && !word.ends_with("::");
    word.len() - usize::from(has_colon)
}
