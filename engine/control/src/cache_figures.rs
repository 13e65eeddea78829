//! What nodes' DNS caches count.

/// The queries that all caches together were asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheFigures {
    /// Answered from memory.
    pub hits: u64,
    /// Asked of cluster DNS.
    pub misses: u64,
}
