//! What can be wrong with rule text, and where.

use crate::xt::{ChainName, NameError, TableName};

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

impl ParseError {
    pub(super) fn on_line(mut self, line: usize) -> Self {
        self.line = line;
        self
    }
}

/// What is wrong at a place of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// A `"` without its partner.
    #[error("quote is not closed")]
    UnterminatedQuote,
    /// Something before `*table` or after `COMMIT`.
    #[error("expected `*table` or a comment")]
    OutsideTable,
    /// The text ends, or another table begins, inside a table.
    #[error("table is not closed by COMMIT")]
    MissingCommit,
    /// Not a table of the kernel.
    #[error("there is no table {name:?}")]
    UnknownTable {
        /// As written.
        name: String,
    },
    /// A table stands twice.
    #[error("table {table} stands twice")]
    DuplicateTable {
        /// Which.
        table: TableName,
    },
    /// Not a chain's name.
    #[error(transparent)]
    ChainName(#[from] NameError),
    /// Built-in chains take ACCEPT, DROP or `-`, others `-` only.
    #[error("chain {chain} cannot have policy {policy:?}")]
    BadPolicy {
        /// The chain.
        chain: ChainName,
        /// As written.
        policy: String,
    },
    /// A chain is declared twice.
    #[error("chain {chain} is declared twice")]
    DuplicateChain {
        /// Which.
        chain: ChainName,
    },
    /// A rule is added to a chain that the text does not declare.
    #[error("chain {chain} is not declared")]
    UndeclaredChain {
        /// Which.
        chain: ChainName,
    },
    /// Only `-A` makes a table; `-X`, `-F`, `-I` and others change one.
    #[error("command {command:?} is not supported; only -A is")]
    UnsupportedCommand {
        /// As written.
        command: String,
    },
    /// No option of what is loaded, or one that is not understood.
    #[error("option {option:?} is not understood here")]
    UnknownOption {
        /// As written.
        option: String,
    },
    /// Text where the line should end.
    #[error("{text:?} is left over")]
    LeftOver {
        /// As written.
        text: String,
    },
    /// The line ends where a value is due.
    #[error("{option} needs a value")]
    MissingValue {
        /// What needs it.
        option: String,
    },
    /// An option stands twice.
    #[error("{option} stands twice")]
    DuplicateOption {
        /// Which.
        option: String,
    },
    /// `!` before something that cannot be negated, or before nothing.
    #[error("`!` cannot stand here")]
    MisplacedNegation,
    /// A match extension that is not understood.
    #[error("match {name:?} is not supported")]
    UnsupportedMatch {
        /// As written.
        name: String,
    },
    /// A target extension that is not understood.
    #[error("target {name:?} is not supported")]
    UnsupportedTarget {
        /// As written.
        name: String,
    },
    /// A match or target lacks an option that it cannot do without.
    #[error("{what} needs {option}")]
    Incomplete {
        /// The match or target.
        what: &'static str,
        /// The option.
        option: &'static str,
    },
    /// A value that its option does not take.
    #[error("{value:?} is not {expected}")]
    BadValue {
        /// As written.
        value: String,
        /// What is taken.
        expected: &'static str,
    },
}

impl ParseErrorKind {
    /// The error at a column of a line that the caller knows.
    pub(super) fn at(self, column: usize) -> ParseError {
        ParseError {
            line: 0,
            column,
            kind: self,
        }
    }
}
