//! Expressions and statements as kube-proxy writes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use ruleset::nft::{
    AddressType, BinaryOp, CtKey, CtState, CtStates, Expr, Fib, FibAddress, Field, Ident, Ifname,
    Key, MapRef, MatchOp, MetaKey, Right, Scalar, SetRef, Statement, Verdict,
};
use ruleset::{Family, Protocol};

use crate::PodTraffic;

pub(super) const fn saddr(family: Family) -> Expr {
    Expr::Payload(match family {
        Family::V4 => Field::IpSaddr,
        Family::V6 => Field::Ip6Saddr,
    })
}

pub(super) const fn daddr(family: Family) -> Expr {
    Expr::Payload(match family {
        Family::V4 => Field::IpDaddr,
        Family::V6 => Field::Ip6Daddr,
    })
}

/// `meta l4proto`
pub(super) const fn l4proto() -> Expr {
    Expr::Meta(MetaKey::L4proto)
}

/// `th dport`
pub(super) const fn dport() -> Expr {
    Expr::Payload(Field::ThDport)
}

pub(super) const fn equals(left: Expr, right: Scalar) -> Statement {
    matches(left, MatchOp::Eq, Right::Value(right))
}

pub(super) const fn matches(left: Expr, op: MatchOp, right: Right) -> Statement {
    Statement::Match { left, op, right }
}

/// `left @name`
pub(super) fn in_set(left: Expr, name: Ident) -> Statement {
    matches(left, MatchOp::Eq, Right::Set(SetRef::Named(name)))
}

/// `left op net`, or `left op { net, net }`: of one network nft makes no set. In a set it merges what overlaps or adjoins,
/// into a range where that is no network; a set it stays.
pub(super) fn within(left: Expr, op: MatchOp, nets: &[IpNet]) -> Statement {
    let right = match nets {
        [net] => Right::Value(Scalar::net(*net)),
        nets => {
            let keys = merged(nets).into_iter().map(|span| Key::from([span]));
            Right::Set(SetRef::Anonymous(keys.collect()))
        }
    };
    matches(left, op, right)
}

/// The addresses of these networks, in order, in as few networks and ranges as there can be.
fn merged(nets: &[IpNet]) -> Vec<Scalar> {
    // All of a rule are of one family.
    let mut spans: Vec<_> = nets.iter().map(|n| (n.network(), n.broadcast())).collect();
    spans.sort_unstable();
    let mut merged: Vec<(IpAddr, IpAddr)> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match merged.last_mut() {
            Some(before) if first <= before.1 || after(before.1) == Some(first) => {
                before.1 = before.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    merged.into_iter().map(span).collect()
}

/// The next address of the family; `None` after the last one.
fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let next = address.to_bits().checked_add(1)?;
            Some(Ipv4Addr::from_bits(next).into())
        }
        IpAddr::V6(address) => {
            let next = address.to_bits().checked_add(1)?;
            Some(Ipv6Addr::from_bits(next).into())
        }
    }
}

/// A network if it is one, else a range.
fn span((first, last): (IpAddr, IpAddr)) -> Scalar {
    let bits = Family::of(first).address_bits();
    let mut nets = (0..=bits).filter_map(|length| IpNet::new(first, length).ok());
    match nets.find(|net| (net.network(), net.broadcast()) == (first, last)) {
        Some(net) => Scalar::net(net),
        None => Scalar::AddressRange(Box::new((first, last))),
    }
}

/// `fib saddr|daddr type local`
pub(super) const fn is_local(address: FibAddress) -> Statement {
    let left = Expr::Fib(Fib { address });
    equals(left, Scalar::AddressType(AddressType::Local))
}

/// `ct state new`
pub(super) fn is_new() -> Statement {
    let new = Scalar::CtState(CtStates::of(&[CtState::New]));
    matches(Expr::Ct(CtKey::State), MatchOp::AnyFlag, Right::Value(new))
}

/// Only Pods, or only others, go on; `None` when no packet can be told to be a Pod's. Interfaces are compared by name
/// (kube-proxy `localdetector.go`).
pub(super) fn pods(family: Family, pods: &PodTraffic, op: MatchOp) -> Option<Statement> {
    let name = match pods {
        PodTraffic::Source(net) => return Some(within(saddr(family), op, &[*net])),
        PodTraffic::Interface(name) => Ifname::new(name)?,
        PodTraffic::InterfacePrefix(prefix) => Ifname::new(&format!("{prefix}*"))?,
    };
    let left = Expr::Meta(MetaKey::Iifname);
    Some(matches(left, op, Right::Value(Scalar::Ifname(name))))
}

/// `meta mark set meta mark | mark`
pub(super) fn set_mark(mark: u32) -> Statement {
    change_mark(BinaryOp::Or, mark)
}

/// `meta mark set meta mark op mark`
pub(super) fn change_mark(op: BinaryOp, mark: u32) -> Statement {
    Statement::SetMark(mark_with(op, mark))
}

pub(super) fn mark_with(op: BinaryOp, mark: u32) -> Expr {
    Expr::Binary {
        op,
        left: Box::new(Expr::Meta(MetaKey::Mark)),
        right: mark,
    }
}

pub(super) const fn goto(chain: Ident) -> Statement {
    Statement::Verdict(Verdict::Goto(chain))
}

/// `key vmap @name`
pub(super) fn vmap(key: impl IntoIterator<Item = Expr>, name: Ident) -> Statement {
    Statement::VerdictMap {
        key: Expr::Concat(key.into_iter().collect()),
        map: MapRef::Named(name),
    }
}

/// `10.244.1.5 . 8080`
pub(super) fn socket_key(socket: SocketAddr) -> Key {
    Key::of_address(socket.ip()).then_port(socket.port())
}

/// `tcp . 30080`
pub(super) fn node_port_key(protocol: Protocol, port: u16) -> Key {
    Key::new().then_protocol(protocol).then_port(port)
}
