//! Chains and rules.

use smallvec::SmallVec;

use super::{Comment, Policy, Statement};
use crate::OriginId;

/// A chain: rules in order. One without a [`BaseChain`] runs only when another goes there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NftChain {
    /// How the kernel calls it by itself.
    pub base: Option<BaseChain>,
    /// The chain's comment.
    pub comment: Option<Comment>,
    /// In order of evaluation.
    pub rules: Vec<NftRule>,
}

/// Where a chain hangs in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseChain {
    /// `type`
    pub kind: ChainKind,
    /// `hook`
    pub hook: Hook,
    /// `priority`: lower runs earlier.
    pub priority: i32,
    /// What becomes of a packet that falls off the end.
    pub policy: Policy,
}

/// What a base chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainKind {
    /// Anything but translate.
    Filter,
    /// Translate; only the first packet of a connection comes here.
    Nat,
    /// In the output hook: routes anew when the mark or an address has changed.
    Route,
}

/// A place in a packet's way through a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// To the node itself.
    Input,
    /// Through the node.
    Forward,
    /// From the node itself.
    Output,
    /// After routing.
    Postrouting,
}

/// A rule. Two rules are equal when they do and say the same: the origin does not count.
#[derive(Clone, Debug, Default)]
pub struct NftRule {
    /// Run in order.
    pub statements: SmallVec<[Statement; 2]>,
    /// The rule's comment.
    pub comment: Option<Comment>,
    /// Whom the rule serves.
    pub origin: Option<OriginId>,
}

impl NftRule {
    /// A rule of these statements.
    #[must_use]
    pub fn new(statements: impl IntoIterator<Item = Statement>) -> Self {
        Self {
            statements: statements.into_iter().collect(),
            comment: None,
            origin: None,
        }
    }

    /// The same rule with a comment.
    #[must_use]
    pub fn with_comment(mut self, comment: Comment) -> Self {
        self.comment = Some(comment);
        self
    }

    /// The same rule, made for `origin`.
    #[must_use]
    pub const fn with_origin(mut self, origin: OriginId) -> Self {
        self.origin = Some(origin);
        self
    }
}

impl PartialEq for NftRule {
    fn eq(&self, other: &Self) -> bool {
        (&self.statements, &self.comment) == (&other.statements, &other.comment)
    }
}

impl Eq for NftRule {}
