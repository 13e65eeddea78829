//! Rules: statements become expressions on registers.
//!
//! Source: `src/netlink_linearize.c` of nftables 1.0.6, which this follows step by step, so that `nft list` reads what it
//! would have written. A port of TCP has a test for TCP before it, unless the rule has made one; tests that other fields imply
//! are refused here.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use ruleset::nft::{
    Expr, Ident, Key, MapRef, MatchOp, MetaKey, NatFlags, NatTarget, NatTo, NftFamily, NftRule,
    Reject, Right, Scalar, SetOp, SetRef, Statement, TableKey, Unreachable,
};
use ruleset::{Family, Protocol};

use super::expression::{Expressions, Found, IsIp, SetName, Slot};
use super::set::{SET_NAME, Sets, map_name};
use super::uapi::{LOG_PREFIX, compare, counter, dynset, message, nat, nat_flag, reject, rule};
use super::user_data::comment;
use super::value::{self, ends, is_ordered, is_range, milliseconds};
use super::writer::{Head, Writer};
use super::{Encoded, Unknown};

/// Appends what adds a rule behind those of its chain, and before it the sets that are its own.
pub(super) fn put(
    out: &mut Writer,
    head: Head,
    sets: &mut Sets<'_>,
    (table, chain): (&TableKey, &Ident),
    rule: &NftRule,
) -> Encoded {
    let mut expressions = Writer::default();
    let mut lines = Lines {
        expressions: Expressions::new(&mut expressions),
        is_ip: match table.family {
            NftFamily::Ip => Some(Family::V4),
            NftFamily::Ip6 => Some(Family::V6),
            NftFamily::Inet => None,
        },
        table,
        head,
        sets,
        out,
        protocols: Vec::new(),
    };
    for statement in &rule.statements {
        lines.implied(statement)?;
        lines.statement(statement)?;
    }
    if expressions.has_overflown() {
        return Err(Unknown("a rule this long"));
    }
    let message = out.begin(Head {
        kind: super::kind(message::NEW_RULE),
        flags: head.flags | super::uapi::APPEND,
        ..head
    });
    out.text(rule::TABLE, table.name.as_str());
    out.text(rule::CHAIN, chain.as_str());
    let list = out.open_nest(rule::EXPRESSIONS);
    out.content().extend_from_slice(expressions.as_slice());
    out.close(list);
    if let Some(text) = &rule.comment {
        comment(text).write(out, rule::USER_DATA)?;
    }
    out.end(message);
    Ok(())
}

/// A rule on its way.
struct Lines<'a, 's> {
    expressions: Expressions<'a>,
    is_ip: IsIp,
    table: &'a TableKey,
    head: Head,
    sets: &'a mut Sets<'s>,
    /// Where sets of the rule's own go.
    out: &'a mut Writer,
    /// Those that the rule has tested for.
    protocols: Vec<Protocol>,
}

const FIRST: Slot = Slot::FIRST;

impl Lines<'_, '_> {
    /// Tests for the protocols whose ports a statement reads.
    fn implied(&mut self, statement: &Statement) -> Encoded {
        for protocol in statement.implied_protocols() {
            if !self.protocols.contains(&protocol) {
                self.protocols.push(protocol);
                self.expressions.meta(MetaKey::L4proto, FIRST)?;
                self.expressions
                    .compare(FIRST, compare::EQUAL, &[protocol.0])?;
            }
        }
        self.protocols.extend(statement.tested_protocol());
        Ok(())
    }

    fn statement(&mut self, statement: &Statement) -> Encoded {
        match statement {
            Statement::Match { left, op, right } => match right {
                Right::Set(set) => self.match_set(left, *op, set),
                Right::Value(value) => self.match_value(left, *op, value),
            },
            Statement::Verdict(verdict) => {
                self.expressions.verdict(verdict);
                Ok(())
            }
            Statement::VerdictMap { key, map } => {
                let id = match map {
                    MapRef::Named(_) => None,
                    MapRef::Anonymous(entries) => {
                        let head = self.set_head();
                        let name = &self.table.name;
                        Some(
                            self.sets
                                .anonymous_verdicts(self.out, head, name, entries)?,
                        )
                    }
                };
                let name = map_name(map);
                self.load(key, FIRST)?;
                let set = SetName { name, id };
                self.expressions.lookup(FIRST, set, Found::Verdict);
                Ok(())
            }
            Statement::SetMark(value) => {
                self.load(value, FIRST)?;
                self.expressions.set_mark(FIRST);
                Ok(())
            }
            Statement::SetCtMark(value) => {
                self.load(value, FIRST)?;
                self.expressions.set_ct_mark(FIRST);
                Ok(())
            }
            Statement::Dnat { to, flags } => self.translate(nat::DESTINATION, to, *flags),
            Statement::Snat { to, flags } => self.translate(nat::SOURCE, to, *flags),
            Statement::Redirect { port, flags } => self.redirect(*port, *flags),
            Statement::Masquerade(flags) => self.expressions.put("masq", |out| {
                put_flags(out, nat::MASQUERADE_FLAGS, nat_flags(*flags));
                Ok(())
            }),
            Statement::Reject(how) => self.reject(*how),
            Statement::SetUpdate {
                op,
                set,
                key,
                timeout,
                data,
            } => self.update((*op, set), key, *timeout, data.as_ref()),
            Statement::Counter { packets, bytes } => self.expressions.put("counter", |out| {
                out.u64(counter::BYTES, *bytes);
                out.u64(counter::PACKETS, *packets);
                Ok(())
            }),
            Statement::Log { prefix } => self.expressions.put("log", |out| {
                if let Some(prefix) = prefix {
                    out.text(LOG_PREFIX, prefix.as_str());
                }
                Ok(())
            }),
            Statement::NatRange(_) => Err(Unknown("translation onto a range")),
            Statement::Notrack => Err(Unknown("notrack")),
            Statement::Inert(_) | Statement::UnknownMatch(_) | Statement::Unknown(_) => {
                Err(Unknown("what is not understood"))
            }
        }
    }

    /// Loads a value; how many bytes it has, where that is known.
    fn load(&mut self, expr: &Expr, to: Slot) -> Encoded<usize> {
        match expr {
            Expr::Lookup { key, map } => {
                self.look_up(key, map, to)?;
                // That of a mark; nothing stands behind it.
                Ok(4)
            }
            other => self.expressions.load(other, self.is_ip, to),
        }
    }

    /// Puts what a map leads to into a register.
    fn look_up(&mut self, key: &Expr, map: &MapRef<Key>, to: Slot) -> Encoded {
        let id = match map {
            MapRef::Named(_) => None,
            MapRef::Anonymous(entries) => {
                let head = self.set_head();
                let name = &self.table.name;
                Some(self.sets.anonymous_map(self.out, head, name, entries)?)
            }
        };
        let set = SetName {
            name: map_name(map),
            id,
        };
        self.expressions.load(key, self.is_ip, to)?;
        self.expressions.lookup(to, set, Found::Data(to));
        Ok(())
    }

    fn set_head(&self) -> Head {
        Head {
            kind: super::kind(message::NEW_SET),
            ..self.head
        }
    }

    fn match_set(&mut self, left: &Expr, op: MatchOp, set: &SetRef) -> Encoded {
        let found = match op {
            MatchOp::Eq => Found::Match,
            MatchOp::Ne => Found::NoMatch,
            _ => return Err(Unknown("a set that is compared otherwise than by = and !=")),
        };
        let set = match set {
            SetRef::Named(name) => SetName {
                name: name.as_str(),
                id: None,
            },
            SetRef::Anonymous(keys) => {
                let head = self.set_head();
                let name = &self.table.name;
                let id = self.sets.anonymous_set(self.out, head, name, keys)?;
                SetName {
                    name: SET_NAME,
                    id: Some(id),
                }
            }
        };
        self.load(left, FIRST)?;
        self.expressions.lookup(FIRST, set, found);
        Ok(())
    }

    fn match_value(&mut self, left: &Expr, op: MatchOp, right: &Scalar) -> Encoded {
        match right {
            Scalar::Net(net) => return self.match_net(left, op, *net),
            Scalar::Ifname(name) if name.as_str().ends_with('*') => {
                let stem = name.as_str().trim_end_matches('*');
                if stem.is_empty() {
                    return Err(Unknown("any interface's name"));
                }
                self.load(left, FIRST)?;
                return self
                    .expressions
                    .compare(FIRST, equality(op)?, stem.as_bytes());
            }
            range if is_range(range) => return self.match_range(left, op, range),
            _ => {}
        }
        let mut bytes = Vec::new();
        value::put(&mut bytes, right)?;
        if op == MatchOp::AnyFlag {
            if !matches!(right, Scalar::CtState(_) | Scalar::CtStatus(_)) {
                return Err(Unknown("flags of a header"));
            }
            let nothing = vec![0; bytes.len()];
            self.load(left, FIRST)?;
            self.expressions.bitwise(FIRST, &bytes, &nothing)?;
            return self
                .expressions
                .compare(FIRST, compare::NOT_EQUAL, &nothing);
        }
        let operation = match op {
            MatchOp::Lt if is_ordered(right) => compare::LESS,
            MatchOp::Le if is_ordered(right) => compare::LESS_OR_EQUAL,
            MatchOp::Gt if is_ordered(right) => compare::GREATER,
            MatchOp::Ge if is_ordered(right) => compare::GREATER_OR_EQUAL,
            other => equality(other)?,
        };
        if self.load(left, FIRST)? != bytes.len() {
            return Err(Unknown("a value of another length"));
        }
        self.expressions.compare(FIRST, operation, &bytes)
    }

    /// Of a prefix of whole bytes only those are loaded.
    fn match_net(&mut self, left: &Expr, op: MatchOp, net: IpNet) -> Encoded {
        let operation = equality(op)?;
        let length = usize::from(net.prefix_len());
        if length == 0 {
            return Err(Unknown("a network of all addresses"));
        }
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let (network, mask) = (octets(net.network()), octets(net.netmask()));
        let Expr::Payload(field) = left else {
            return Err(Unknown("a network that no address is compared with"));
        };
        if length.is_multiple_of(8) {
            let length = length / 8;
            self.expressions
                .load_start(*field, self.is_ip, length, FIRST)?;
            return self
                .expressions
                .compare(FIRST, operation, &network[..length]);
        }
        self.load(left, FIRST)?;
        self.expressions
            .bitwise(FIRST, &mask, &vec![0; mask.len()])?;
        self.expressions.compare(FIRST, operation, &network)
    }

    fn match_range(&mut self, left: &Expr, op: MatchOp, range: &Scalar) -> Encoded {
        if !is_ordered(range) {
            return Err(Unknown("a range of marks"));
        }
        let (mut first, mut last) = (Vec::new(), Vec::new());
        value::put(&mut first, &ends(range).0)?;
        value::put(&mut last, &ends(range).1)?;
        self.load(left, FIRST)?;
        match equality(op)? {
            compare::EQUAL => {
                self.expressions
                    .compare(FIRST, compare::GREATER_OR_EQUAL, &first)?;
                self.expressions
                    .compare(FIRST, compare::LESS_OR_EQUAL, &last)
            }
            _ => self.expressions.outside(FIRST, &first, &last),
        }
    }

    fn translate(&mut self, kind: u32, to: &NatTo, flags: NatFlags) -> Encoded {
        let (family, port) = match to {
            NatTo::Fixed(NatTarget { address, port }) => {
                self.load(&Expr::Literal(Scalar::address(*address)), FIRST)?;
                let slot = FIRST.behind_whole();
                if let Some(port) = port {
                    self.load(&Expr::Literal(Scalar::Port(*port)), slot)?;
                }
                (Family::of(*address), port.map(|_| slot))
            }
            NatTo::Lookup { family, key, map } => {
                let parts = match map {
                    MapRef::Named(name) => self.sets.named(self.table, name)?.data_parts,
                    MapRef::Anonymous(entries) => {
                        entries.first().map_or(0, |(_, data)| data.parts().count())
                    }
                };
                self.look_up(key, map, FIRST)?;
                let behind = FIRST.behind(usize::from(family.address_bits() / 8));
                (*family, (parts > 1).then_some(behind))
            }
        };
        let is_fixed = matches!(to, NatTo::Fixed(_));
        let mut flags = nat_flags(flags);
        if port.is_some() && is_fixed {
            flags |= nat_flag::PORT;
        }
        self.expressions.put("nat", |out| {
            out.u32(nat::TYPE, kind);
            out.u32(nat::FAMILY, value::family(family).into());
            out.u32(nat::ADDRESS, FIRST.register());
            if let Some(port) = port {
                out.u32(nat::PORT, port.register());
            }
            put_flags(out, nat::FLAGS, flags);
            Ok(())
        })
    }

    fn redirect(&mut self, port: Option<u16>, flags: NatFlags) -> Encoded {
        let mut flags = nat_flags(flags);
        if let Some(port) = port {
            flags |= nat_flag::PORT;
            self.load(&Expr::Literal(Scalar::Port(port)), FIRST)?;
        }
        self.expressions.put("redir", |out| {
            if port.is_some() {
                out.u32(nat::REDIRECT_PORT, FIRST.register());
            }
            put_flags(out, nat::REDIRECT_FLAGS, flags);
            Ok(())
        })
    }

    fn reject(&mut self, how: Reject) -> Encoded {
        let (kind, code) = match (how, self.is_ip) {
            (Reject::Default, Some(family)) => (reject::ICMP, code(family, Unreachable::Port)?),
            (Reject::Default, None) => (reject::ICMPX, icmpx_code(Unreachable::Port)?),
            (Reject::Icmp(family, with), Some(of_table)) if family == of_table => {
                (reject::ICMP, code(family, with)?)
            }
            (Reject::Icmpx(with), None) => (reject::ICMPX, icmpx_code(with)?),
            _ => return Err(Unknown("a rejection that implies a test for its protocol")),
        };
        self.expressions.put("reject", |out| {
            out.u32(reject::TYPE, kind);
            out.bytes(reject::CODE, &[code]);
            Ok(())
        })
    }

    fn update(
        &mut self,
        (op, set): (SetOp, &Ident),
        key: &Expr,
        timeout: Option<Duration>,
        data: Option<&Expr>,
    ) -> Encoded {
        let length = self.load(key, FIRST)?;
        let behind = match key {
            Expr::Concat(_) => FIRST.behind(length),
            _ => FIRST.behind_whole(),
        };
        if let Some(data) = data {
            self.load(data, behind)?;
        }
        let operation = match op {
            SetOp::Add => dynset::ADD,
            SetOp::Update => dynset::UPDATE,
            SetOp::Delete => dynset::DELETE,
        };
        self.expressions.put("dynset", |out| {
            out.u32(dynset::KEY, FIRST.register());
            if data.is_some() {
                out.u32(dynset::DATA, behind.register());
            }
            out.u32(dynset::OPERATION, operation);
            if let Some(timeout) = timeout {
                out.u64(dynset::TIMEOUT, milliseconds(timeout));
            }
            out.text(dynset::SET, set.as_str());
            Ok(())
        })
    }
}

const fn equality(op: MatchOp) -> Encoded<u32> {
    match op {
        MatchOp::Eq => Ok(compare::EQUAL),
        MatchOp::Ne => Ok(compare::NOT_EQUAL),
        _ => Err(Unknown("a comparison of what has no order")),
    }
}

fn nat_flags(flags: NatFlags) -> u32 {
    let bits = [
        (flags.random, nat_flag::RANDOM),
        (flags.persistent, nat_flag::PERSISTENT),
        (flags.fully_random, nat_flag::FULLY_RANDOM),
    ];
    let set = bits.iter().filter(|(is_set, _)| *is_set);
    set.fold(0, |bits, (_, bit)| bits | bit)
}

fn put_flags(out: &mut Writer, kind: u16, flags: u32) {
    if flags != 0 {
        out.u32(kind, flags);
    }
}

/// `ICMP_…_UNREACH`, `ICMPV6_…`
const fn code(family: Family, with: Unreachable) -> Encoded<u8> {
    match family {
        Family::V4 => Ok(match with {
            Unreachable::Net => 0,
            Unreachable::Host => 1,
            Unreachable::Protocol => 2,
            Unreachable::Port => 3,
            Unreachable::NetProhibited => 9,
            Unreachable::HostProhibited => 10,
            Unreachable::AdminProhibited => 13,
        }),
        Family::V6 => Ok(match with {
            Unreachable::Net => 0,
            Unreachable::AdminProhibited => 1,
            Unreachable::Host => 3,
            Unreachable::Port => 4,
            _ => return Err(Unknown("a code of ICMP in ICMPv6")),
        }),
    }
}

/// `NFT_REJECT_ICMPX_…`
const fn icmpx_code(with: Unreachable) -> Encoded<u8> {
    Ok(match with {
        Unreachable::Net => 0,
        Unreachable::Port => 1,
        Unreachable::Host => 2,
        Unreachable::AdminProhibited => 3,
        _ => return Err(Unknown("a code of ICMP in both families")),
    })
}
