//! How conntrack follows a TCP connection.
//!
//! **What.** A state per connection, moved by the flags of each packet and its direction. **Why.** The state
//! decides which packets are INVALID and how long an entry lives. **Source of the semantics.** The table
//! `tcp_conntracks` and the timeouts of Linux `nf_conntrack_proto_tcp.c`; PROXY-75.
//!
//! Deviation: sequence numbers and windows are not checked (as with `nf_conntrack_tcp_be_liberal=1`), and the
//! retransmission and unacknowledged timeouts (300 s each) are not applied.

use std::fmt;
use std::time::Duration;

use crate::entry::Direction;

/// The state of a TCP connection, as `conntrack -L` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// A SYN was seen.
    SynSent,
    /// … and its SYN-ACK.
    SynRecv,
    /// … and the ACK; or a connection was picked up in its middle.
    Established,
    /// One side has closed.
    FinWait,
    /// … and the other has acknowledged that.
    CloseWait,
    /// Both sides have closed.
    LastAck,
    /// … and both know.
    TimeWait,
    /// Reset.
    Close,
    /// SYNs were seen both ways: a simultaneous open.
    SynSent2,
}

impl TcpState {
    /// How long an entry lives in this state without packets. kube-proxy sets two of them (PROXY-75).
    #[must_use]
    pub const fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            Self::SynSent | Self::SynSent2 | Self::FinWait | Self::TimeWait => 120,
            Self::SynRecv => 60,
            // conntrack.tcpEstablishedTimeout
            Self::Established => 24 * 3600,
            // conntrack.tcpCloseWaitTimeout
            Self::CloseWait => 3600,
            Self::LastAck => 30,
            Self::Close => 10,
        })
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::SynSent2 => "SYN_SENT2",
        })
    }
}

/// The flags that count, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpFlags {
    /// A connection's first packet.
    Syn,
    /// The answer to it.
    SynAck,
    /// The last packet of one side.
    Fin,
    /// Any other packet.
    Ack,
    /// The end without a goodbye.
    Rst,
    /// What no host sends.
    None,
}

impl TcpFlags {
    /// Reads the flags of a TCP header; one that is cut off has none.
    #[must_use]
    pub fn of(transport: &[u8]) -> Self {
        const FIN: u8 = 1;
        const SYN: u8 = 1 << 1;
        const RST: u8 = 1 << 2;
        const ACK: u8 = 1 << 4;
        let flags = transport.get(13).copied().unwrap_or(0);
        let has = |flag: u8| flags & flag != 0;
        if has(RST) {
            Self::Rst
        } else if has(SYN) {
            if has(ACK) { Self::SynAck } else { Self::Syn }
        } else if has(FIN) {
            Self::Fin
        } else if has(ACK) {
            Self::Ack
        } else {
            Self::None
        }
    }
}

/// What a packet does to its connection's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// It moves (or stays) there.
    To(TcpState),
    /// The packet passes and changes nothing.
    Ignore,
    /// The packet belongs to no connection.
    Invalid,
}

/// What the first packet of an unknown connection starts. An ACK picks a connection up in its middle
/// (`nf_conntrack_tcp_loose=1`): after an entry was lost, its packets are NEW and meet the rules again.
pub(crate) const fn begin(flags: TcpFlags) -> Move {
    match flags {
        TcpFlags::Syn => Move::To(TcpState::SynSent),
        TcpFlags::Ack => Move::To(TcpState::Established),
        TcpFlags::SynAck | TcpFlags::Fin | TcpFlags::Rst | TcpFlags::None => Move::Invalid,
    }
}

/// What a packet of a known connection does: a look into the kernel's table.
pub(crate) const fn advance(state: TcpState, direction: Direction, flags: TcpFlags) -> Move {
    use Move::{Ignore as IG, Invalid as IV};
    const SS: Move = Move::To(TcpState::SynSent);
    const SR: Move = Move::To(TcpState::SynRecv);
    const ES: Move = Move::To(TcpState::Established);
    const FW: Move = Move::To(TcpState::FinWait);
    const CW: Move = Move::To(TcpState::CloseWait);
    const LA: Move = Move::To(TcpState::LastAck);
    const TW: Move = Move::To(TcpState::TimeWait);
    const CL: Move = Move::To(TcpState::Close);
    const S2: Move = Move::To(TcpState::SynSent2);
    // In the order of `TcpState`: SS, SR, ES, FW, CW, LA, TW, CL, S2.
    let row = match (direction, flags) {
        (Direction::Original, TcpFlags::Syn) => [SS, IG, IG, IG, IG, IG, SS, SS, S2],
        (Direction::Reply, TcpFlags::Syn) => [S2, IV, IV, IV, IV, IV, SS, IV, S2],
        (Direction::Original, TcpFlags::SynAck) => [IV, SR, IV, IV, IV, IV, IV, IV, SR],
        (Direction::Reply, TcpFlags::SynAck) => [SR, IG, IG, IG, IG, IG, IG, IG, SR],
        (_, TcpFlags::Fin) => [IV, FW, FW, LA, LA, LA, TW, CL, IV],
        (Direction::Original, TcpFlags::Ack) => [IV, ES, ES, CW, CW, TW, TW, CL, IV],
        (Direction::Reply, TcpFlags::Ack) => [IG, SR, ES, CW, CW, TW, TW, CL, IG],
        (_, TcpFlags::Rst) => [CL; 9],
        (_, TcpFlags::None) => [IV; 9],
    };
    row[state as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a connection that starts with the first packet; `>` is the client's, `<` the server's.
    fn check(packets: &[(&str, TcpFlags)], end: Move) {
        let mut last = begin(packets[0].1);
        for (arrow, flags) in &packets[1..] {
            let Move::To(state) = last else {
                panic!("{last:?} before {flags:?}")
            };
            let direction = match *arrow {
                ">" => Direction::Original,
                _ => Direction::Reply,
            };
            last = advance(state, direction, *flags);
        }
        assert_eq!(last, end);
    }

    #[test]
    fn follows_the_life_of_a_connection() {
        use TcpFlags::{Ack, Fin, Rst, Syn, SynAck};
        let open = [(">", Syn), ("<", SynAck), (">", Ack)];
        check(&open[..1], Move::To(TcpState::SynSent));
        check(&open[..2], Move::To(TcpState::SynRecv));
        check(&open, Move::To(TcpState::Established));
        let close = [
            open.as_slice(),
            &[(">", Fin), ("<", Ack), ("<", Fin), (">", Ack)],
        ]
        .concat();
        check(&close[..4], Move::To(TcpState::FinWait));
        check(&close[..5], Move::To(TcpState::CloseWait));
        check(&close[..6], Move::To(TcpState::LastAck));
        check(&close, Move::To(TcpState::TimeWait));
        let reopened = [close.as_slice(), &[(">", Syn)]].concat();
        check(&reopened, Move::To(TcpState::SynSent));
        check(&[(">", Syn), ("<", Rst)], Move::To(TcpState::Close));
    }

    #[test]
    fn refuses_what_starts_nothing() {
        for flags in [
            TcpFlags::SynAck,
            TcpFlags::Fin,
            TcpFlags::Rst,
            TcpFlags::None,
        ] {
            assert_eq!(begin(flags), Move::Invalid);
        }
        assert_eq!(begin(TcpFlags::Ack), Move::To(TcpState::Established));
        check(&[(">", TcpFlags::Syn), (">", TcpFlags::Ack)], Move::Invalid);
        check(
            &[(">", TcpFlags::Syn), (">", TcpFlags::SynAck)],
            Move::Invalid,
        );
    }
}
