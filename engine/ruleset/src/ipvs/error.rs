//! What can be wrong with the text of `ipvsadm` and `ipset`, and where.

use super::SetName;

/// Why a text could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct IpvsParseError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    #[source]
    pub kind: IpvsParseErrorKind,
}

/// What is wrong in a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpvsParseErrorKind {
    /// A word that means nothing where it stands.
    #[error("{word:?} is not {expected}")]
    Unexpected {
        /// The word.
        word: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// The line ends before it says all.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The same thing twice.
    #[error("{0} stands twice")]
    Duplicate(String),
    /// A real server of no virtual server.
    #[error("there is no virtual server {0}")]
    NoVirtualServer(String),
    /// An entry of no set.
    #[error("set {0} is not created")]
    NoSet(SetName),
}

impl IpvsParseErrorKind {
    pub(super) fn unexpected(word: &str, expected: &'static str) -> Self {
        Self::Unexpected {
            word: word.to_owned(),
            expected,
        }
    }

    pub(super) const fn on_line(self, line: usize) -> IpvsParseError {
        IpvsParseError { line, kind: self }
    }
}
