//! Walks over the tokens of a text.

use super::tokens::{Kind, Token, tokenize};
use super::{ParseError, ParseErrorKind};
use crate::nft::{Comment, Ident};
use crate::verbatim::Reading;

/// A place between two tokens. The last token is the end of the text and is never passed.
pub(super) struct Cursor<'a> {
    text: &'a str,
    reading: Reading,
    tokens: Vec<Token<'a>>,
    at: usize,
    warnings: Vec<String>,
}

impl<'a> Cursor<'a> {
    /// Before the first token of a text.
    pub(super) fn new(text: &'a str, reading: Reading) -> Result<Self, ParseError> {
        Ok(Self {
            text,
            reading,
            tokens: tokenize(text, reading)?,
            at: 0,
            warnings: Vec::new(),
        })
    }

    /// Whether what is not understood is kept or read over.
    pub(super) fn reads_dump(&self) -> bool {
        self.reading == Reading::Dump
    }

    /// Passes an object that some packet meets, though no evaluation does, and remembers to say so.
    pub(super) fn read_over(&mut self, what: &str) {
        let place = self.peek().place();
        self.warnings
            .push(format!("{place}: {what} is not followed"));
        self.skip_object();
    }

    /// What was read over, each in a sentence.
    pub(super) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }

    /// How many tokens have been passed.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// Goes on after so many tokens.
    pub(super) const fn go_to(&mut self, position: usize) {
        self.at = position;
    }

    pub(super) fn token(&self, position: usize) -> Token<'a> {
        self.tokens[position]
    }

    /// The text from a position to here.
    pub(super) fn text(&self, from: usize) -> &'a str {
        let last = self.at.max(from + 1) - 1;
        &self.text[self.tokens[from].start..self.tokens[last].end]
    }

    /// Passes `{ … }`, whatever is in it.
    pub(super) fn skip_block(&mut self) {
        let mut depth = 0_usize;
        loop {
            let token = self.next();
            if token.is("{") {
                depth += 1;
            } else if token.is("}") {
                depth = depth.saturating_sub(1);
            }
            if depth == 0 || token.kind == Kind::End {
                return;
            }
        }
    }

    /// Passes words up to the end of a line, or up to and with `{ … }`.
    pub(super) fn skip_object(&mut self) {
        while !self.is_at_end() {
            if self.peek().is("{") {
                return self.skip_block();
            }
            self.next();
        }
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
