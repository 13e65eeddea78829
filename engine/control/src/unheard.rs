//! Answers that their clients have no use for.

use std::fmt;

/// What becomes of the answer of an endpoint. What comes later tells more against it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeAnswer {
    /// It gets back to who asked.
    Heard,
    /// Nobody is known to be there, or the packet does not get there.
    Unknown,
    /// It does not get back.
    Unheard(Unheard),
}

/// Why the answer of an endpoint is of no use to who asked for a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unheard {
    /// It does not pass the node that has sent the request on, and so keeps the endpoint's address, of which the client
    /// knows nothing (PROXY-15, PROXY-20).
    OfAStranger,
    /// It is lost on its way, for this reason.
    Lost(String),
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfAStranger => f.write_str(
                "it takes another way back, so that it comes from the endpoint's own address, which the client did not ask",
            ),
            Self::Lost(reason) => f.write_str(reason),
        }
    }
}
