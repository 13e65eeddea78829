//! Tables as they were read from a node.

use std::collections::BTreeMap;
use std::fmt;

/// Tables that were read leniently, and the place of each of their rules. `C` names a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump<T, C> {
    /// The tables. What is not understood stands in their rules as text.
    pub tables: T,
    pub(crate) places: RulePlaces<C>,
    /// What a reader should know beside, each in a sentence.
    pub warnings: Vec<String>,
}

/// A place in a text, counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPlace {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Where the rules of each chain stand, in order.
pub(crate) type RulePlaces<C> = BTreeMap<C, Vec<TextPlace>>;

impl<T, C: Ord> Dump<T, C> {
    /// Where a rule stands: the one of this position, from 0, in its chain.
    pub fn place(&self, chain: &C, index: usize) -> Option<TextPlace> {
        self.places.get(chain)?.get(index).copied()
    }
}

impl fmt::Display for TextPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}
