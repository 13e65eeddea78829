//! Where a rule comes from, opaquely.

/// Names what a rule was made for. Only the maker (the `rules` crate) can resolve it; it is no part of a
/// rule's text and does not take part in comparing rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginId(pub u32);
