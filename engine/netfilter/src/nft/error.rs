//! Why nftables tables cannot be loaded.

use ruleset::nft::Ident;

/// What is wrong with a rule, a set or a map: mostly what the kernel or `nft` would say, too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NftError {
    /// A verdict leads to a chain that does not exist.
    #[error("no chain {0}")]
    MissingChain(Ident),
    /// A verdict leads to a chain that only the kernel may call.
    #[error("{0} is a base chain")]
    BaseChain(Ident),
    /// There is no such set.
    #[error("no set {0}")]
    MissingSet(Ident),
    /// There is no such map.
    #[error("no map {0}")]
    MissingMap(Ident),
    /// A map to verdicts stands where data are wanted, or the other way round.
    #[error("the map leads to {found}, not to {wanted}")]
    WrongData {
        /// What it leads to.
        found: &'static str,
        /// What the rule needs.
        wanted: &'static str,
    },
    /// An element of a map is made without data.
    #[error("an element of a map needs data")]
    NoData,
    /// An element of a set is made with data.
    #[error("an element of a set has no data")]
    Data,
    /// Two values of different types meet.
    #[error("a value of {found} bytes where one of {wanted} is wanted")]
    Width {
        /// Bytes of the value.
        found: usize,
        /// Bytes wanted.
        wanted: usize,
    },
    /// A key of more than 64 bytes (`NFT_DATA_VALUE_MAXLEN`).
    #[error("a key of more than 64 bytes")]
    TooLong,
    /// A range, network or wildcard where a single value is wanted.
    #[error("a range where a single value is wanted")]
    Range,
    /// A generator of numbers below zero.
    #[error("numgen modulo zero")]
    NoModulus,
    /// Random bits in another form than the one that iptables uses.
    #[error("meta random is understood only as `meta random & 0x7fffffff < N`")]
    Random,
    /// An address of the family that the table does not see.
    #[error("translates to an address of another family")]
    OtherFamily,
    /// A statement that does not work where its chain is called.
    #[error("{statement} is valid only in {allowed}")]
    Misplaced {
        /// The statement.
        statement: &'static str,
        /// Where it would work.
        allowed: &'static str,
    },
    /// Chains call each other in a circle.
    #[error("chain {0} is reached from itself")]
    Loop(Ident),
    /// More than sixteen jumps, one in the other (`NFT_JUMP_STACK_SIZE`).
    #[error("more than 16 jumps, one in the other")]
    TooDeep,
}
