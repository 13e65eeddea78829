//! The test for a protocol that a field carries with it.
//!
//! **What.** `tcp dport` is the two bytes where every protocol has them (`th dport`), in packets of TCP only. nft has the
//! test run before the statement that reads the field, unless an earlier one of the rule has made it; whoever runs
//! statements, or sends them to a kernel, does so by what is said here.
//!
//! Source: `payload_gen_dependency` in `src/payload.c` of nftables 1.0.6.

use super::uses::read_by;
use super::{Expr, Field, MatchOp, MetaKey, Right, Scalar, Statement};
use crate::Protocol;

impl Field {
    /// The destination port of packets of a protocol; `None` for one whose ports have no field of their own.
    #[must_use]
    pub fn dport(protocol: Protocol) -> Option<Self> {
        let all = [Self::TcpDport, Self::UdpDport, Self::SctpDport];
        let is_of = |field: &Self| {
            let port = field.as_port();
            port.is_some_and(|(of, _)| of == protocol)
        };
        all.into_iter().find(is_of)
    }

    /// For a port of a particular protocol: the protocol, and the port of any.
    #[must_use]
    pub const fn as_port(self) -> Option<(Protocol, Self)> {
        Some(match self {
            Self::TcpSport => (Protocol::TCP, Self::ThSport),
            Self::TcpDport => (Protocol::TCP, Self::ThDport),
            Self::UdpSport => (Protocol::UDP, Self::ThSport),
            Self::UdpDport => (Protocol::UDP, Self::ThDport),
            Self::SctpSport => (Protocol::SCTP, Self::ThSport),
            Self::SctpDport => (Protocol::SCTP, Self::ThDport),
            _ => return None,
        })
    }
}

impl Statement {
    /// Of which protocol a packet has to be, by the ports that are read, before this statement runs. Of two different
    /// ones it cannot be.
    #[must_use]
    pub fn implied_protocols(&self) -> Vec<Protocol> {
        let mut protocols = Vec::new();
        let expressions = read_by(self).into_iter().flatten();
        expressions.for_each(|one| in_expr(one, &mut protocols));
        protocols.dedup();
        protocols
    }

    /// The protocol of which packets are that come past this statement, if it is a test for one: `meta l4proto tcp`.
    #[must_use]
    pub const fn tested_protocol(&self) -> Option<Protocol> {
        match self {
            Self::Match {
                left: Expr::Meta(MetaKey::L4proto),
                op: MatchOp::Eq,
                right: Right::Value(Scalar::Proto(protocol)),
            } => Some(*protocol),
            _ => None,
        }
    }
}

fn in_expr(expr: &Expr, protocols: &mut Vec<Protocol>) {
    match expr {
        Expr::Payload(field) => protocols.extend(field.as_port().map(|(protocol, _)| protocol)),
        Expr::Concat(parts) => parts.iter().for_each(|part| in_expr(part, protocols)),
        Expr::Binary { left, .. } => in_expr(left, protocols),
        Expr::Lookup { key, .. } => in_expr(key, protocols),
        Expr::Meta(_) | Expr::Ct(_) | Expr::Fib(_) | Expr::Numgen(_) | Expr::Literal(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_a_protocol_imply_it() {
        let test = |field| Statement::Match {
            left: Expr::Concat(vec![Expr::Payload(Field::IpDaddr), Expr::Payload(field)]),
            op: MatchOp::Eq,
            right: Right::Value(Scalar::Port(80)),
        };
        assert_eq!(test(Field::UdpDport).implied_protocols(), [Protocol::UDP]);
        assert!(test(Field::ThDport).implied_protocols().is_empty());
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
            let field = Field::dport(protocol).unwrap();
            assert_eq!(field.as_port(), Some((protocol, Field::ThDport)));
        }
        assert_eq!(Field::dport(Protocol::ICMP), None);
    }
}
