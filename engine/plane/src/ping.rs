//! ICMP echoes: `ping`, and with small times to live `traceroute`.
//!
//! **Source of the semantics.** RFC 792, RFC 4443 (section 4); ping(8).

use std::fmt;
use std::net::IpAddr;

use netfilter::Packet;

use crate::{HostId, Plane, SendError, SocketId};

/// An echo request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingSpec {
    /// Whom to ask.
    pub to: IpAddr,
    /// Over how many nodes it gets: at the last one it is answered with "time exceeded".
    pub ttl: u8,
    /// How many bytes to send beside the headers.
    pub payload_len: usize,
}

impl PingSpec {
    /// What `ping` sends by default.
    #[must_use]
    pub const fn to(to: IpAddr) -> Self {
        Self {
            to,
            ttl: 64,
            payload_len: 56,
        }
    }
}

/// What is said of an echo request instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EchoError {
    /// It came over too many nodes.
    TtlExceeded,
    /// There is no way to the address.
    Unreachable,
    /// `reject` of a rule, most often (PROXY-17).
    PortUnreachable,
    /// It is forbidden.
    Prohibited,
    /// It does not fit a link.
    TooBig,
}

impl fmt::Display for EchoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TtlExceeded => "time to live exceeded",
            Self::Unreachable => "destination host unreachable",
            Self::PortUnreachable => "destination port unreachable",
            Self::Prohibited => "packet filtered",
            Self::TooBig => "message too long",
        })
    }
}

impl Plane {
    /// Sends one echo request. The socket waits for what comes of it, [`crate::PlaneEvent::Echoed`] or
    /// [`crate::PlaneEvent::EchoFailed`], and is gone with it; [`Plane::close`] ends the waiting.
    ///
    /// # Errors
    /// When the host is gone, has no address of the family, or the request does not fit into a packet.
    pub fn ping(&mut self, host: HostId, ping: PingSpec) -> Result<SocketId, SendError> {
        let now = self.now;
        let (stack, _) = self.stack(host).ok_or(SendError::Closed)?;
        let (socket, packet) = stack.ping(now, ping)?;
        self.transmit(host, packet);
        Ok(socket)
    }

    /// Sends a packet as it is, as a raw socket does: for protocols that hosts do not speak, such as SCTP
    /// ([`crate::sctp_init`]). Nobody waits for an answer.
    pub fn send_packet(&mut self, host: HostId, packet: Packet) {
        self.transmit(host, packet.into_bytes());
    }
}
