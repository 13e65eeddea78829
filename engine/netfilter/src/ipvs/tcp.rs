//! How IPVS follows a TCP connection: coarser than conntrack, and with shorter patience.
//!
//! **Source of the semantics.** `tcp_states`, `tcp_timeouts` and `tcp_state_active_table` in Linux
//! `net/netfilter/ipvs/ip_vs_proto_tcp.c`.

use std::time::Duration;

/// The state of a connection. The kernel has more; none of them is reached where both ways are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TcpPhase {
    None,
    Established,
    SynSent,
    SynReceived,
    FinWait,
    TimeWait,
    Close,
    CloseWait,
}

/// What of a packet's flags counts, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TcpSign {
    Reset,
    Synchronise,
    Finish,
    Acknowledge,
    Nothing,
}

impl TcpSign {
    /// Of a TCP header.
    pub(super) fn of(transport: &[u8]) -> Self {
        let flags = transport.get(13).copied().unwrap_or(0);
        match flags {
            _ if flags & 0x04 != 0 => Self::Reset,
            _ if flags & 0x02 != 0 => Self::Synchronise,
            _ if flags & 0x01 != 0 => Self::Finish,
            _ if flags & 0x10 != 0 => Self::Acknowledge,
            _ => Self::Nothing,
        }
    }

    /// Whether a header begins a connection.
    pub(super) fn begins(transport: &[u8]) -> bool {
        transport.get(13).is_some_and(|flags| flags & 0x16 == 0x02)
    }
}

impl TcpPhase {
    /// The state after a packet of the client.
    pub(super) const fn asked(self, sign: TcpSign) -> Self {
        use TcpPhase::{
            Close, CloseWait, Established, FinWait, None, SynReceived, SynSent, TimeWait,
        };
        match (sign, self) {
            (TcpSign::Synchronise, Established | SynSent)
            | (TcpSign::Acknowledge, None | Established | SynReceived) => Established,
            (TcpSign::Synchronise, _) | (TcpSign::Reset, SynReceived) => SynReceived,
            (TcpSign::Finish, None | Close)
            | (TcpSign::Acknowledge, Close)
            | (
                TcpSign::Reset,
                None | Established | SynSent | FinWait | TimeWait | Close | CloseWait,
            ) => Close,
            (TcpSign::Finish, Established | CloseWait) | (TcpSign::Acknowledge, CloseWait) => {
                CloseWait
            }
            (TcpSign::Finish | TcpSign::Acknowledge, SynSent) => SynSent,
            (TcpSign::Finish, SynReceived | FinWait | TimeWait)
            | (TcpSign::Acknowledge, TimeWait) => TimeWait,
            (TcpSign::Acknowledge, FinWait) => FinWait,
            (TcpSign::Nothing, phase) => phase,
        }
    }

    /// The state after a packet of the real server.
    pub(super) const fn answered(self, sign: TcpSign) -> Self {
        use TcpPhase::{
            Close, CloseWait, Established, FinWait, None, SynReceived, SynSent, TimeWait,
        };
        match (sign, self) {
            (TcpSign::Synchronise, Established)
            | (TcpSign::Acknowledge, None | Established | SynReceived) => Established,
            (TcpSign::Synchronise, SynReceived) => SynReceived,
            (TcpSign::Synchronise, _)
            | (TcpSign::Finish | TcpSign::Acknowledge | TcpSign::Reset, SynSent) => SynSent,
            (TcpSign::Finish, None | SynReceived | TimeWait | CloseWait)
            | (TcpSign::Acknowledge | TcpSign::Reset, TimeWait) => TimeWait,
            (TcpSign::Finish, Established | FinWait) | (TcpSign::Acknowledge, FinWait) => FinWait,
            (TcpSign::Finish | TcpSign::Acknowledge, Close) | (TcpSign::Reset, _) => Close,
            (TcpSign::Acknowledge, CloseWait) => CloseWait,
            (TcpSign::Nothing, phase) => phase,
        }
    }

    /// Whether schedulers count it as active.
    pub(super) const fn is_active(self) -> bool {
        matches!(self, Self::Established | Self::SynSent | Self::SynReceived)
    }

    /// How long it is remembered without a packet.
    pub(super) const fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            Self::Established => 15 * 60,
            Self::None | Self::SynSent | Self::FinWait | Self::TimeWait => 120,
            Self::SynReceived | Self::CloseWait => 60,
            Self::Close => 10,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_in_order() {
        use TcpSign::{Acknowledge, Finish, Reset, Synchronise};
        let syn = TcpPhase::None.asked(Synchronise);
        assert_eq!(syn, TcpPhase::SynReceived);
        let answered = syn.answered(Synchronise);
        assert_eq!(answered, TcpPhase::SynReceived);
        let established = answered.asked(Acknowledge);
        assert_eq!(established, TcpPhase::Established);
        assert!(established.is_active());
        let closing = established.asked(Finish);
        assert_eq!(closing, TcpPhase::CloseWait);
        assert!(!closing.is_active());
        let both = closing.answered(Finish);
        assert_eq!(both, TcpPhase::TimeWait);
        assert_eq!(both.asked(Acknowledge), TcpPhase::TimeWait);
        assert_eq!(established.answered(Reset), TcpPhase::Close);
    }
}
