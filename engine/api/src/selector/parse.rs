//! The grammar of label selectors.
//!
//! **Source of the semantics.** API-74; S: `apimachinery/pkg/labels/selector.go`. `in` and `notin` are words like
//! any other except where an operator stands.

use std::collections::BTreeSet;

use super::SelectorError;
use super::label::{Requirement, Test, check_key};

/// What may stand behind a key, as messages list it.
const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// `=`, `==`, `!=`, `!`, `(`, `)`, `,`, `<` or `>`; anything else of these signs is no token.
    Sign(&'a str),
    End,
}

impl<'a> Token<'a> {
    const fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Sign(text) => text,
            Self::End => "",
        }
    }
}

pub(super) struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(super) fn requirements(mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        match self.peek() {
            Token::End => return Ok(requirements),
            Token::Word(_) | Token::Sign("!") => {}
            other => {
                return Err(found(
                    other,
                    ", expected: !, identifier, or 'end of string'",
                ));
            }
        }
        loop {
            let requirement = self.requirement().map_err(|SelectorError(text)| {
                SelectorError(format!("unable to parse requirement: {text}"))
            })?;
            requirements.push(requirement);
            match self.take() {
                Token::End => return Ok(requirements),
                Token::Sign(",") => {}
                other => return Err(found(other, ", expected: ',' or 'end of string'")),
            }
            if !matches!(self.peek(), Token::Word(_) | Token::Sign("!")) {
                return Err(found(self.peek(), ", expected: identifier after ','"));
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let absent = self.peek() == Token::Sign("!");
        if absent {
            self.take();
        }
        let key = match self.take() {
            Token::Word(key) => key.to_owned(),
            other => return Err(found(other, ", expected: identifier")),
        };
        check_key(&key)?;
        let alone = matches!(self.peek(), Token::End | Token::Sign(","));
        let test = match (absent, alone) {
            (true, _) => Test::DoesNotExist,
            (false, true) => Test::Exists,
            (false, false) => self.test()?,
        };
        Requirement::new(key, test)
    }

    fn test(&mut self) -> Result<Test, SelectorError> {
        Ok(match self.take() {
            Token::Word("in") => Test::In(self.values()?),
            Token::Word("notin") => Test::NotIn(self.values()?),
            Token::Sign("=" | "==") => Test::In(BTreeSet::from([self.value()?])),
            Token::Sign("!=") => Test::NotIn(BTreeSet::from([self.value()?])),
            Token::Sign(">") => Test::Greater(self.number()?),
            Token::Sign("<") => Test::Less(self.number()?),
            other => return Err(found(other, &format!(", expected: {OPERATORS}"))),
        })
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            Token::End | Token::Sign(",") => return Ok(String::new()),
            _ => {}
        }
        match self.take() {
            Token::Word(value) => Ok(value.to_owned()),
            other => Err(found(other, ", expected: identifier")),
        }
    }

    fn number(&mut self) -> Result<i64, SelectorError> {
        let value = self.value()?;
        value.parse().map_err(|_| {
            SelectorError(format!(
                "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
            ))
        })
    }

    /// `(a, b)`; nothing between two signs is the empty value.
    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        match self.take() {
            Token::Sign("(") => {}
            other => return Err(found(other, " expected: '('")),
        }
        let mut values = BTreeSet::new();
        if !matches!(self.peek(), Token::Word(_) | Token::Sign("," | ")")) {
            return Err(found(self.peek(), ", expected: ',', ')' or identifier"));
        }
        loop {
            let value = match self.peek() {
                Token::Word(value) => {
                    self.take();
                    value
                }
                Token::Sign("," | ")") => "",
                other => return Err(found(other, ", expected: ',', or identifier")),
            };
            values.insert(value.to_owned());
            match self.take() {
                Token::Sign(")") => return Ok(values),
                Token::Sign(",") => {}
                other => return Err(found(other, ", expected: ',' or ')'")),
            }
        }
    }

    fn peek(&self) -> Token<'a> {
        Self { rest: self.rest }.take()
    }

    fn take(&mut self) -> Token<'a> {
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let is_sign = |sign: char| "=!(),<>".contains(sign);
        let length = match rest.chars().next() {
            None => 0,
            Some('=' | '!') if rest[1..].starts_with('=') => 2,
            Some(first) if is_sign(first) => 1,
            Some(_) => rest
                .find(|next: char| is_sign(next) || " \t\r\n".contains(next))
                .unwrap_or(rest.len()),
        };
        let (token, rest) = rest.split_at(length);
        self.rest = rest;
        match token.chars().next() {
            None => Token::End,
            Some(first) if is_sign(first) => Token::Sign(token),
            Some(_) => Token::Word(token),
        }
    }
}

fn found(token: Token<'_>, expected: &str) -> SelectorError {
    SelectorError(format!("found '{}'{expected}", token.text()))
}
