//! Walks over the tokens of a text.

use super::tokens::{Kind, Token};
use super::{ParseError, ParseErrorKind};
use crate::nft::{Comment, Ident};

/// A place between two tokens. The last token is the end of the text and is never passed.
pub(super) struct Cursor<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// `tokens` end with one of kind [`Kind::End`].
    pub(super) fn new(tokens: Vec<Token<'a>>) -> Self {
        Self { tokens, at: 0 }
    }

    pub(super) fn peek(&self) -> Token<'a> {
        self.tokens[self.at]
    }

    /// The token after the next.
    pub(super) fn peek_second(&self) -> Token<'a> {
        self.tokens[(self.at + 1).min(self.tokens.len() - 1)]
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// Takes a word, sign or symbol if it is the next.
    pub(super) fn take(&mut self, text: &str) -> Option<Token<'a>> {
        self.peek().is(text).then(|| self.next())
    }

    pub(super) fn expect(&mut self, text: &'static str) -> Result<Token<'a>, ParseError> {
        self.take(text).ok_or_else(|| self.peek().unexpected(text))
    }

    pub(super) fn word(&mut self, expected: &'static str) -> Result<Token<'a>, ParseError> {
        let token = self.peek();
        if token.kind != Kind::Word {
            return Err(token.unexpected(expected));
        }
        Ok(self.next())
    }

    pub(super) fn skip_separators(&mut self) {
        while self.peek().kind == Kind::Separator {
            self.next();
        }
    }

    /// Whether a statement or command ends here.
    pub(super) fn is_at_end(&self) -> bool {
        let token = self.peek();
        matches!(token.kind, Kind::Separator | Kind::End) || token.is("}")
    }

    /// Refuses anything but the end of a statement or command.
    pub(super) fn end(&self) -> Result<(), ParseError> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(self.peek().unexpected("the end of the line"))
        }
    }

    pub(super) fn ident(&mut self, expected: &'static str) -> Result<Ident, ParseError> {
        let token = self.word(expected)?;
        Ident::new(token.text).map_err(|error| token.error(error))
    }

    /// A number, decimal or hexadecimal.
    pub(super) fn number<T: TryFrom<u64>>(
        &mut self,
        expected: &'static str,
    ) -> Result<T, ParseError> {
        let token = self.word(expected)?;
        number(token.text)
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| token.bad_value(expected))
    }

    /// A comment that is kept whole: [`Comment::new`] would mend what does not fit.
    pub(super) fn comment(&mut self) -> Result<Comment, ParseError> {
        let token = self.next();
        if !matches!(token.kind, Kind::Quoted | Kind::Word) {
            return Err(token.unexpected("a text"));
        }
        let comment = Comment::new(token.text);
        if comment.as_str() == token.text {
            Ok(comment)
        } else {
            Err(token.bad_value("a text of at most 128 bytes without control characters"))
        }
    }

    /// Stores a value that may be given once only.
    pub(super) fn set<T>(
        slot: &mut Option<T>,
        value: T,
        token: Token<'_>,
    ) -> Result<(), ParseError> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(token.error(ParseErrorKind::Duplicate {
                what: token.text.to_owned(),
            })),
        }
    }
}

/// A number without a sign.
pub(super) fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let is_number = digits.chars().all(|c| c.is_digit(radix));
    is_number
        .then(|| u64::from_str_radix(digits, radix).ok())
        .flatten()
}
