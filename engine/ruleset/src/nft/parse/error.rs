//! What can be wrong with nft text, and where.

use crate::nft::{IdentError, TableKey};

/// Why a text could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong there.
    #[source]
    pub kind: ParseErrorKind,
}

/// What is wrong at a place of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// A `"` without its partner.
    #[error("quote is not closed")]
    UnterminatedQuote,
    /// A character that the language has no use for.
    #[error("character {character:?} cannot stand here")]
    BadCharacter {
        /// Which.
        character: char,
    },
    /// Something else is due here.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What is due.
        expected: &'static str,
        /// As written, or what ends the text.
        found: String,
    },
    /// Part of the language, but not of what is modelled.
    #[error("{what} is not supported")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// Not a name.
    #[error(transparent)]
    Ident(#[from] IdentError),
    /// A value of another type.
    #[error("{value:?} is not {expected}")]
    BadValue {
        /// As written.
        value: String,
        /// What is taken.
        expected: &'static str,
    },
    /// Something said twice that can be said once.
    #[error("{what} stands twice")]
    Duplicate {
        /// Which.
        what: String,
    },
    /// A set or map without a type, or a base chain without its hook.
    #[error("{what} has no type")]
    MissingType {
        /// Which.
        what: String,
    },
    /// A command on a table that is not there.
    #[error("there is no table {table}")]
    NoTable {
        /// Which.
        table: TableKey,
    },
    /// A command on a chain, set or map that is not there.
    #[error("there is no {kind} {name:?} in the table")]
    NoSuch {
        /// `chain`, `set` or `map`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Parentheses in parentheses, deeper than anybody writes.
    #[error("too many parentheses")]
    TooDeep,
}
