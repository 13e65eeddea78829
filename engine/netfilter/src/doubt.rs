//! What keeps an answer from being known.
//!
//! **What.** A [`Doubt`] is a question that a rule asks and that neither the tables nor the packet answer. **Why.** A
//! dump of a real node holds rules that are not understood, and says nothing about links. Only a packet that
//! reaches such a rule is concerned, and only if the answer changes what becomes of it.

use std::fmt;

use ruleset::Verbatim;
use ruleset::nft::Ifname;

use crate::{NftError, RulePlace};

/// A question that a rule asks, without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The rule.
    pub place: RulePlace,
    /// What is not known about it.
    pub question: Question,
}

/// What is not known about a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What this part of it means.
    Text(Verbatim),
    /// What something that it names is, and that cannot be loaded.
    Unresolved(NftError),
    /// Whether the packet goes by this interface.
    Interface {
        /// Where.
        side: InterfaceSide,
        /// Which; `None` when it is one of several.
        name: Option<Ifname>,
    },
}

/// An end of a packet's way through a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceSide {
    /// Where it arrives.
    In,
    /// Where it leaves.
    Out,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "`{text}` is not understood"),
            Self::Unresolved(error) => write!(f, "{error}"),
            Self::Interface { side, name } => {
                let way = match side {
                    InterfaceSide::In => "arrives",
                    InterfaceSide::Out => "leaves",
                };
                match name {
                    Some(name) => write!(
                        f,
                        "whether the packet {way} by {} is not known",
                        name.as_str()
                    ),
                    None => write!(f, "by which interface the packet {way} is not known"),
                }
            }
        }
    }
}
