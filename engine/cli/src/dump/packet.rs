//! The packet that a dump is asked about.

use std::net::SocketAddr;

use miette::Report;
use netfilter::Packet;
use ruleset::Protocol;

use crate::input;

/// A packet as the command line gives it: `tcp:10.0.0.2:40000>10.96.0.10:53`.
pub(super) struct Asked {
    pub(super) protocol: Protocol,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

impl Asked {
    pub(super) fn parse(text: &str) -> Result<Self, Report> {
        let parts = text.split_once(':').and_then(|(protocol, ends)| {
            let (source, destination) = ends.split_once('>')?;
            let protocol = Protocol::parse(protocol)?;
            let known = matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP);
            Some(Self {
                protocol: Some(protocol).filter(|_| known)?,
                source: source.parse().ok()?,
                destination: destination.parse().ok()?,
            })
        });
        parts.ok_or_else(|| {
            input::error(
                format!("--packet: {text:?} is no packet"),
                Some("expected tcp|udp|sctp:SOURCE:PORT>DESTINATION:PORT, such as 'tcp:10.0.0.2:40000>10.96.0.10:53'"),
            )
        })
    }

    /// The bytes: the first packet of a connection, or one datagram.
    pub(super) fn packet(&self) -> Result<Packet, Report> {
        let bytes = match self.protocol {
            Protocol::TCP => plane::tcp_syn(self.source, self.destination),
            Protocol::SCTP => plane::sctp_init(self.source, self.destination),
            _ => plane::udp_datagram(self.source, self.destination, b"hello"),
        };
        let bytes = bytes.map_err(|why| input::error(format!("--packet: {why}"), None))?;
        Ok(Packet::new(bytes))
    }
}
