//! Whether a rule of iptables matches.
//!
//! **Source of the semantics.** iptables-extensions(8); `ip_packet_match` in Linux
//! `net/ipv4/netfilter/ip_tables.c`, `net/netfilter/xt_*.c`.

use std::net::IpAddr;

use ruleset::Protocol;
use ruleset::ipvs::ServerKey;
use ruleset::nft::Ifname;
use ruleset::xt::{
    AddressMatch, AddressSide, AddressType, InterfaceMatch, MultiportSide, PortRange, RecentAction,
    RecentMatch, RecentWindow, TcpFlags, XtMatch, XtRule,
};
use ruleset::{AddressSpan, Family};

use crate::connection::Tracking;
use crate::eval::{Flight, Served};
use crate::nft::packet_type_number;
use crate::recent::{RecentChange, RecentUpdate, window_start};
use crate::state::Change;
use crate::{Chooser, InterfaceSide, Question, Routing, RuleRef, Tracer};

impl<R: Routing, C: Chooser, T: Tracer> Flight<'_, R, C, T> {
    /// The header is compared first, then the extension matches in order: a random choice is made only when
    /// everything before it matches. What is not known is asked last: any other test that fails saves the rule.
    /// A rule that leaves it open matches, and leaves a doubt.
    pub(super) fn matches(&mut self, rule: &XtRule, at: RuleRef<'_>) -> bool {
        let mut is_sure = true;
        let headers = &self.datagram.headers;
        let header_matches = address_matches(rule.source, headers.source)
            && address_matches(rule.destination, headers.destination)
            && rule.protocol.is_none_or(|(negated, protocol)| {
                // Protocol 0 stands for all.
                protocol.0 == 0 || (protocol == headers.protocol) != negated
            });
        let names_none = rule.in_interface.is_none() && rule.out_interface.is_none();
        header_matches
            && (names_none || self.interfaces_match(rule, &mut is_sure))
            && rule
                .matches
                .iter()
                .all(|extension| self.extension_matches(extension, &mut is_sure))
            && (is_sure || self.asks(rule, at))
    }

    /// Asks all that is not known of a rule, unless its target does not care.
    #[cold]
    fn asks(&mut self, rule: &XtRule, at: RuleRef<'_>) -> bool {
        if rule.target.is_inert() {
            return false;
        }
        let (way_in, way_out) = self.interfaces(rule);
        let ways = [(InterfaceSide::In, way_in), (InterfaceSide::Out, way_out)];
        let mut questions: Vec<(Question, bool)> = Vec::new();
        for (side, way) in ways {
            let wanted = way.wanted.filter(|_| way.is_in_doubt(self.routing));
            questions.extend(wanted.map(|wanted| {
                let name = ifname(wanted);
                (Question::Interface { side, name }, !wanted.negated)
            }));
        }
        questions.extend(rule.matches.iter().filter_map(|one| match one {
            XtMatch::Unknown(text) => Some((Question::Text(text.clone()), true)),
            _ => None,
        }));
        for (question, due) in questions {
            match self.ask(at, question) {
                Some(answer) if answer == due => {}
                Some(_) => return false,
                None => return true,
            }
        }
        true
    }

    fn interfaces_match(&self, rule: &XtRule, is_sure: &mut bool) -> bool {
        let (way_in, way_out) = self.interfaces(rule);
        way_in.passes(self.routing, is_sure) && way_out.passes(self.routing, is_sure)
    }

    fn interfaces<'r>(&'r self, rule: &'r XtRule) -> (Way<'r>, Way<'r>) {
        let way_in = Way {
            wanted: rule.in_interface.as_ref(),
            name: self.in_interface,
            is_assumed: self.assumes_arrival,
        };
        let way_out = Way {
            wanted: rule.out_interface.as_ref(),
            name: self.out_interface(),
            is_assumed: self.assumes_way,
        };
        (way_in, way_out)
    }

    fn extension_matches(&mut self, extension: &XtMatch, is_sure: &mut bool) -> bool {
        let headers = &self.datagram.headers;
        match extension {
            XtMatch::Comment(_) | XtMatch::NfAcct(_) => true,
            XtMatch::Ports {
                protocol,
                source,
                destination,
            } => self.ports_match(*protocol, *source, *destination),
            XtMatch::TcpFlags {
                source,
                destination,
                negated,
                mask,
                set,
            } => {
                self.ports_match(Protocol::TCP, *source, *destination)
                    && self.flags_match(*mask, *set) != *negated
            }
            XtMatch::Multiport {
                negated,
                side,
                ports,
            } => {
                self.any_port(*side, |port| {
                    ports.iter().any(|range| range.contains(&port))
                }) != *negated
                    && self.has_ports()
            }
            XtMatch::IcmpType {
                negated,
                kind,
                code,
            } => self.icmp_matches(*kind, *code, *negated),
            XtMatch::CtState { negated, states } => self.tracking.is_any_of(*states) != *negated,
            XtMatch::Mark {
                negated,
                value,
                mask,
            } => (self.mark & mask == *value) != *negated,
            XtMatch::ConnMark {
                negated,
                value,
                mask,
            } => match &self.tracking {
                Tracking::Connection(connection) => {
                    (connection.progress.mark & mask == *value) != *negated
                }
                // xt_connmark.c: without a connection nothing matches, negated or not.
                Tracking::Unseen | Tracking::Invalid | Tracking::Untracked => false,
            },
            XtMatch::Random(probability) => self.chooser.random(*probability),
            XtMatch::Recent(recent) => self.recent_matches(recent),
            XtMatch::IpRange(range) => {
                in_range(range.source, headers.source)
                    && in_range(range.destination, headers.destination)
            }
            XtMatch::PacketType { negated, kind } => {
                let wanted = u32::from(packet_type_number(*kind));
                (self.packet_type() == wanted) != *negated
            }
            XtMatch::Set(set) => self.set_matches(set),
            XtMatch::Ipvs(server) => self.is_served_by(server),
            // Pods have links of their own here, not ports of a bridge.
            XtMatch::BridgeIn { negated } => *negated,
            XtMatch::Unknown(_) => {
                *is_sure = false;
                true
            }
            XtMatch::AddrType {
                source,
                destination,
            } => {
                let is = |wanted: &Option<(bool, AddressType)>, address| {
                    wanted.is_none_or(|(negated, kind)| {
                        (self.address_type(address) == kind) != negated
                    })
                };
                is(source, headers.source) && is(destination, headers.destination)
            }
        }
    }

    /// Whether this virtual server has taken the packet.
    fn is_served_by(&self, server: &ServerKey) -> bool {
        let Tracking::Connection(connection) = &self.tracking else {
            return false;
        };
        let asked = connection.original;
        let is_asked =
            (asked.protocol(), asked.destination_socket()) == (server.protocol, server.address);
        is_asked && self.served != Served::No
    }

    fn has_ports(&self) -> bool {
        self.datagram.headers.protocol.has_ports()
    }

    fn ports_match(
        &self,
        protocol: Protocol,
        source: Option<PortRange>,
        destination: Option<PortRange>,
    ) -> bool {
        let Some(tuple) = self.datagram.content.flow() else {
            return false;
        };
        self.datagram.headers.protocol == protocol
            && port_matches(source, tuple.source_port())
            && port_matches(destination, tuple.destination_port())
    }

    fn any_port(&self, side: MultiportSide, is_wanted: impl Fn(u16) -> bool) -> bool {
        let Some(tuple) = self.datagram.content.flow() else {
            return false;
        };
        let source = || tuple.source_port().is_some_and(&is_wanted);
        let destination = || tuple.destination_port().is_some_and(&is_wanted);
        match side {
            MultiportSide::Source => source(),
            MultiportSide::Destination => destination(),
            MultiportSide::Either => source() || destination(),
        }
    }

    fn flags_match(&self, mask: TcpFlags, set: TcpFlags) -> bool {
        let flags = self.datagram.transport().get(13);
        flags.is_some_and(|flags| flags & mask.0 == set.0)
    }

    /// `icmp_type_code_match`: for IPv4, type 255 is any.
    fn icmp_matches(&self, kind: u8, code: Option<u8>, negated: bool) -> bool {
        let headers = &self.datagram.headers;
        let (protocol, any) = match headers.family() {
            Family::V4 => (Protocol::ICMP, kind == u8::MAX),
            Family::V6 => (Protocol::ICMPV6, false),
        };
        let [found, found_code, ..] = self.datagram.transport() else {
            return false;
        };
        let same = any || (kind == *found && code.is_none_or(|code| code == *found_code));
        headers.protocol == protocol && same != negated
    }

    /// `recent_mt`: what it changes happens with the packet's effects.
    fn recent_matches(&mut self, recent: &RecentMatch) -> bool {
        let headers = &self.datagram.headers;
        let address = masked(
            match recent.side {
                AddressSide::Source => headers.source,
                AddressSide::Destination => headers.destination,
            },
            recent.mask,
        );
        let any_time = RecentWindow::default();
        let found = match recent.action {
            RecentAction::Set => true,
            RecentAction::Remove => self.is_recent(&recent.name, address, any_time),
            RecentAction::Rcheck(window) | RecentAction::Update(window) => {
                self.is_recent(&recent.name, address, window)
            }
        };
        // Only an address that is listed is renewed, even where a negated match holds without it.
        let is_listed = self.is_recent(&recent.name, address, any_time);
        let keep = self.tables.recent_depth(&recent.name);
        let touch = RecentUpdate::Touch { at: self.now, keep };
        let mut change = |action| {
            self.effects.changes.push(Change::Recent(RecentChange {
                list: recent.name.clone(),
                address,
                action,
            }));
        };
        let matched = found != recent.negated;
        if let RecentAction::Rcheck(window) | RecentAction::Update(window) = recent.action
            && window.reap
            && self.state.recent_stamps(&recent.name, address).is_some()
        {
            let before = window_start(window, self.now);
            let renewed = matched && matches!(recent.action, RecentAction::Update(_));
            change(RecentUpdate::Reap { before, renewed });
        }
        match recent.action {
            RecentAction::Set => change(touch),
            RecentAction::Update(_) if matched && is_listed => change(touch),
            RecentAction::Remove if found => change(RecentUpdate::Remove),
            RecentAction::Update(_) | RecentAction::Remove | RecentAction::Rcheck(_) => {}
        }
        matched
    }

    /// Whether an address is listed, by this packet's own changes or by those before it.
    fn is_recent(&self, list: &str, address: IpAddr, window: RecentWindow) -> bool {
        let changes = self.effects.changes.iter().rev();
        let pending = changes.into_iter().find_map(|change| match change {
            Change::Recent(change) if *change.list == *list && change.address == address => {
                match change.action {
                    RecentUpdate::Touch { .. } => Some(true),
                    RecentUpdate::Remove => Some(false),
                    RecentUpdate::Reap { .. } => None,
                }
            }
            _ => None,
        });
        let single_hit = window.hit_count.is_none_or(|hits| hits.get() == 1);
        match pending {
            Some(true) if single_hit => true,
            Some(false) => false,
            _ => self.state.is_recent(list, address, window, self.now),
        }
    }

    /// Deviation: links have no broadcast addresses of their own; only the limited one counts as such.
    pub(crate) fn address_type(&self, address: IpAddr) -> AddressType {
        if self.is_local(address) {
            AddressType::Local
        } else if address.is_multicast() {
            AddressType::Multicast
        } else if crate::reply::is_unicast(address) {
            AddressType::Unicast
        } else {
            AddressType::Broadcast
        }
    }
}

/// Only the bits of an address that are set in a mask of its family.
fn masked(address: IpAddr, mask: IpAddr) -> IpAddr {
    match (address, mask) {
        (IpAddr::V4(address), IpAddr::V4(mask)) => IpAddr::V4(address & mask),
        (IpAddr::V6(address), IpAddr::V6(mask)) => IpAddr::V6(address & mask),
        (address, _) => address,
    }
}

fn in_range(wanted: Option<(bool, AddressSpan)>, address: IpAddr) -> bool {
    wanted.is_none_or(|(negated, span)| {
        let (first, last) = span.ends();
        (first..=last).contains(&address) != negated
    })
}

fn address_matches(wanted: Option<AddressMatch>, address: IpAddr) -> bool {
    wanted.is_none_or(|wanted| wanted.net.contains(&address) != wanted.negated)
}

/// What a rule says about one end of a packet's way.
#[derive(Clone, Copy)]
struct Way<'r> {
    wanted: Option<&'r InterfaceMatch>,
    /// Empty at a hook without an incoming (or outgoing) interface.
    name: &'r str,
    is_assumed: bool,
}

impl Way<'_> {
    /// Whether it matches, or may.
    fn passes(self, routing: &impl Routing, is_sure: &mut bool) -> bool {
        if self.is_assumed && self.is_in_doubt(routing) {
            *is_sure = false;
            return true;
        }
        let Self { wanted, name, .. } = self;
        wanted.is_none_or(|wanted| names(wanted, name) != wanted.negated)
    }

    /// Whether the rule is about another interface than the assumed one.
    fn is_in_doubt(self, routing: &impl Routing) -> bool {
        self.wanted.is_some_and(|wanted| {
            let is_placed = || ifname(wanted).is_some_and(|name| routing.places(&name));
            self.is_assumed && !names(wanted, self.name) && !is_placed()
        })
    }
}

/// As nftables writes it.
fn ifname(wanted: &InterfaceMatch) -> Option<Ifname> {
    match wanted.name.strip_suffix('+') {
        Some(start) => Ifname::new(&format!("{start}*")),
        None => Ifname::new(&wanted.name),
    }
}

fn names(wanted: &InterfaceMatch, name: &str) -> bool {
    match wanted.name.strip_suffix('+') {
        Some(start) => name.starts_with(start),
        None => *wanted.name == *name,
    }
}

fn port_matches(wanted: Option<PortRange>, port: Option<u16>) -> bool {
    wanted.is_none_or(|wanted| {
        port.is_some_and(|port| (wanted.first..=wanted.last).contains(&port) != wanted.negated)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hop;

    struct Nowhere;

    impl Routing for Nowhere {
        fn is_local(&self, _address: IpAddr) -> bool {
            false
        }
        fn route(&self, _destination: IpAddr) -> Option<Hop> {
            None
        }
    }

    #[test]
    fn interfaces_match_by_name_or_start() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let mut wanted = InterfaceMatch {
                negated: false,
                name: pattern.into(),
            };
            let passes = |wanted: &InterfaceMatch| {
                let way = Way {
                    wanted: Some(wanted),
                    name,
                    is_assumed: false,
                };
                way.passes(&Nowhere, &mut true)
            };
            assert_eq!(passes(&wanted), expected);
            wanted.negated = true;
            assert_eq!(passes(&wanted), !expected);
        };
        check("eth0", "eth0", true);
        check("eth0", "eth01", false);
        check("veth+", "veth12", true);
        check("veth+", "eth0", false);
        check("+", "", true);
        check("eth0", "", false);
    }
}
