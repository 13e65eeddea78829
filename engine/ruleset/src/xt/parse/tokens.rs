//! A line cut into words.

use super::{ParseError, ParseErrorKind};

/// One word of a line, quotes and escapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Whether any of it stood in quotes: it is then no option and no `!`.
    pub(super) quoted: bool,
    /// Of its first character, counted from 1.
    pub(super) column: usize,
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
    let mut characters = line.chars().zip(1..);
    while let Some((c, column)) = characters.next() {
        let current = || Token {
            text: String::new(),
            quoted: false,
            column,
        };
        match (c, open_quote) {
            ('"', Some(_)) => {
                open_quote = None;
                tokens.extend(word.take());
            }
            ('\\', Some(opened)) => {
                let (escaped, _) = characters
                    .next()
                    .ok_or_else(|| ParseErrorKind::UnterminatedQuote.at(opened))?;
                word.get_or_insert_with(current).text.push(escaped);
            }
            ('"', None) => {
                open_quote = Some(column);
                word.get_or_insert_with(current).quoted = true;
            }
            (' ' | '\t', None) => tokens.extend(word.take()),
            _ => word.get_or_insert_with(current).text.push(c),
        }
    }
    if let Some(opened) = open_quote {
        return Err(ParseErrorKind::UnterminatedQuote.at(opened));
    }
    tokens.extend(word);
    Ok(tokens)
}

/// Walks over the words of one line.
pub(super) struct Cursor<'a> {
    tokens: &'a [Token],
    end_column: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(tokens: &'a [Token], line: &str) -> Self {
        Self {
            tokens,
            end_column: line.chars().count() + 1,
        }
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.first()
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// The next word, which `option` needs.
    pub(super) fn value(&mut self, option: &str) -> Result<&'a Token, ParseError> {
        let end_column = self.end_column;
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
