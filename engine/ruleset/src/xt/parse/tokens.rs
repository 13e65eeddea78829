//! A line cut into words.

use std::ops::Range;

use super::{ParseError, ParseErrorKind};

/// One word of a line, quotes and escapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Whether any of it stood in quotes: it is then no option and no `!`.
    pub(super) quoted: bool,
    /// Of its first character, counted from 1.
    pub(super) column: usize,
    /// Where it stands in the line, in bytes, quotes included.
    pub(super) bytes: Range<usize>,
}

impl Token {
    pub(super) fn bad_value(&self, expected: &'static str) -> ParseError {
        ParseErrorKind::BadValue {
            value: self.text.clone(),
            expected,
        }
        .at(self.column)
    }
}

/// Cuts as `add_param_to_argv` does: blanks separate words, a backslash escapes inside quotes only, and a
/// closing quote ends its word.
pub(super) fn tokenize(line: &str) -> Result<Vec<Token>, ParseError> {
    let mut tokens = Vec::new();
    let mut word: Option<Token> = None;
    let mut open_quote = None;
    let mut characters = line.char_indices().zip(1..);
    while let Some(((start, c), column)) = characters.next() {
        let current = || Token {
            text: String::new(),
            quoted: false,
            column,
            bytes: start..line.len(),
        };
        match (c, open_quote) {
            ('"', Some(_)) => {
                open_quote = None;
                tokens.extend(ended(&mut word, start + 1));
            }
            ('\\', Some(opened)) => {
                let ((_, escaped), _) = characters
                    .next()
                    .ok_or_else(|| ParseErrorKind::UnterminatedQuote.at(opened))?;
                word.get_or_insert_with(current).text.push(escaped);
            }
            ('"', None) => {
                open_quote = Some(column);
                word.get_or_insert_with(current).quoted = true;
            }
            (' ' | '\t', None) => tokens.extend(ended(&mut word, start)),
            _ => word.get_or_insert_with(current).text.push(c),
        }
    }
    if let Some(opened) = open_quote {
        return Err(ParseErrorKind::UnterminatedQuote.at(opened));
    }
    tokens.extend(word);
    Ok(tokens)
}

/// Takes a word that ends before this byte.
fn ended(word: &mut Option<Token>, end: usize) -> Option<Token> {
    let mut token = word.take()?;
    token.bytes.end = end;
    Some(token)
}

/// Walks over the words of one line.
pub(super) struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
    line: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(tokens: &'a [Token], line: &'a str) -> Self {
        Self {
            tokens,
            at: 0,
            line,
        }
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    /// How many words have been taken.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// How many words the line has.
    pub(super) const fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Goes on after so many words.
    pub(super) const fn go_to(&mut self, position: usize) {
        self.at = position;
    }

    /// The words between two positions.
    pub(super) fn words(&self, positions: Range<usize>) -> &'a [Token] {
        &self.tokens[positions]
    }

    /// The text between two positions, as it stands in the line.
    pub(super) fn text(&self, positions: Range<usize>) -> &'a str {
        match self.words(positions) {
            [first, .., last] => &self.line[first.bytes.start..last.bytes.end],
            [only] => &self.line[only.bytes.clone()],
            [] => "",
        }
    }

    /// The next word, which `option` needs.
    pub(super) fn value(&mut self, option: &str) -> Result<&'a Token, ParseError> {
        let end_column = self.line.chars().count() + 1;
        self.next().ok_or_else(|| {
            ParseErrorKind::MissingValue {
                option: option.to_owned(),
            }
            .at(end_column)
        })
    }

    /// Takes a `!` if one stands here.
    pub(super) fn take_bang(&mut self) -> Option<&'a Token> {
        let is_bang = |token: &&Token| token.text == "!" && !token.quoted;
        self.peek().filter(is_bang).and_then(|_| self.next())
    }

    pub(super) fn end(&mut self) -> Result<(), ParseError> {
        match self.next() {
            None => Ok(()),
            Some(token) => Err(ParseErrorKind::LeftOver {
                text: token.text.clone(),
            }
            .at(token.column)),
        }
    }
}
