//! Why a host does not do what an application asks of it.

use ruleset::Protocol;

/// Why a host cannot listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// The host has been removed, or never was.
    #[error("the host is gone")]
    NoSuchHost,
    /// Port 0 names no port.
    #[error("port 0 cannot be listened on")]
    PortZero,
    /// Something listens there already.
    #[error("port {port}/{protocol} is in use")]
    InUse {
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
    },
    /// Hosts speak TCP and UDP.
    #[error("protocol {protocol} is not simulated")]
    Unsupported {
        /// The protocol.
        protocol: Protocol,
    },
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The socket is closed or gone.
    #[error("the socket is closed")]
    Closed,
    /// The UDP socket has no remote end to send to, or the TCP socket has one already.
    #[error("the socket needs a destination, or has one already")]
    Destination,
    /// The destination is no address of a host, or of a family that the host has no address of.
    #[error("network is unreachable")]
    Unreachable,
    /// No identifier is left for another echo request.
    #[error("too many echo requests wait for an answer")]
    Busy,
    /// The datagram does not fit into a packet.
    #[error("message too long: {bytes} bytes, at most {most}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// What fits.
        most: usize,
    },
}
