//! A service port: the unit that rules are made for.

use std::fmt;
use std::sync::Arc;

use ruleset::Protocol;

use crate::ServiceName;

/// Names a port of a Service (PROXY-3). Prints as `ns/name:port`, or `ns/name` when the port has no name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePortId {
    /// The Service.
    pub service: ServiceName,
    /// The port's name; empty when unnamed.
    pub port_name: Arc<str>,
    /// The port's protocol.
    pub protocol: Protocol,
}

impl ServicePortId {
    /// None is before this one.
    pub(crate) fn least() -> Self {
        Self {
            service: ServiceName {
                namespace: "".into(),
                name: "".into(),
            },
            port_name: "".into(),
            protocol: Protocol(0),
        }
    }
}

impl fmt::Display for ServicePortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.service)?;
        if self.port_name.is_empty() {
            return Ok(());
        }
        write!(f, ":{}", self.port_name)
    }
}
