//! What is asked: a Service, perhaps as one client sees it, perhaps at one port or by one name.

use std::fmt;
use std::str::FromStr;

use api::{ObjectKey, Protocol};
use control::Source;

/// A question about a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The Service.
    pub service: ObjectKey,
    /// Who cannot reach it; `None`: clients in general.
    pub from: Option<Source>,
    /// At which port they try; `None`: at each that the Service has.
    pub port: Option<AskedPort>,
    /// By which name they call it, as it stands in their configuration; `None`: not known.
    pub name: Option<String>,
    /// What the API server said when somebody last tried to write the Service, if it refused.
    pub refusal: Option<String>,
}

/// A port that a client dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedPort {
    /// The number.
    pub number: u16,
    /// The transport protocol.
    pub protocol: Protocol,
}

/// Why a text is no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no port: expected a number such as 80, or 53/UDP")]
pub struct AskedPortError {
    text: String,
}

impl Question {
    /// About a Service as all its clients see it.
    #[must_use]
    pub const fn about(service: ObjectKey) -> Self {
        Self {
            service,
            from: None,
            port: None,
            name: None,
            refusal: None,
        }
    }
}

impl FromStr for AskedPort {
    type Err = AskedPortError;

    /// Reads `80` (TCP) and `53/UDP`.
    fn from_str(text: &str) -> Result<Self, AskedPortError> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
        let number = number.parse().ok().filter(|number| *number > 0);
        let protocol = Some(protocol).filter(|word| !word.is_empty());
        number
            .zip(protocol.and_then(Protocol::parse))
            .map(|(number, protocol)| Self { number, protocol })
            .ok_or_else(|| AskedPortError {
                text: text.to_owned(),
            })
    }
}

impl fmt::Display for AskedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}
