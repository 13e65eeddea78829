//! Taking a packet through the rules of one table.
//!
//! **Source of the semantics.** `ipt_do_table` in Linux `net/ipv4/netfilter/ip_tables.c`; iptables-extensions(8).

use std::net::IpAddr;

use ruleset::xt::{
    AddressMatch, AddressType, InterfaceMatch, Policy, PortRange, TableName, XtMatch, XtRule,
    XtTarget,
};

use crate::eval::Flight;
use crate::reply::is_unicast;
use crate::tables::Table;
use crate::{Chooser, Hook, Routing, RulePlace, TableVerdict, Tracer};

impl<R: Routing, C: Chooser, T: Tracer> Flight<'_, R, C, T> {
    /// Asks the chain that belongs to a hook. The place is that of the deciding rule; a policy has none. A table
    /// that nobody wrote accepts.
    pub(crate) fn consult(
        &mut self,
        table: TableName,
        hook: Hook,
    ) -> (TableVerdict, Option<RulePlace>) {
        let tables = self.tables;
        let Some((table, base)) = tables
            .get(table)
            .and_then(|table| Some((table, table.base(hook)?)))
        else {
            return (TableVerdict::Policy(Policy::Accept), None);
        };
        let (verdict, place) = self.traverse(table, base);
        self.tracer.verdict(table.name, verdict);
        (verdict, place)
    }

    fn traverse(&mut self, table: &Table, base: usize) -> (TableVerdict, Option<RulePlace>) {
        self.callers.clear();
        let (mut at, mut index) = (base, 0);
        self.tracer.entered(table.name, table.chains[at].name);
        loop {
            let chain = &table.chains[at];
            let rule = chain.body.rules.get(index);
            if let Some(rule) = rule {
                let place = RulePlace {
                    table: table.name,
                    chain: chain.name,
                    index,
                };
                let matched = self.matches(rule);
                self.tracer.rule(place, &chain.body, matched);
                index += 1;
                if !matched {
                    continue;
                }
                let verdict = match &rule.target {
                    XtTarget::None => continue,
                    XtTarget::SetXmark { value, mask } => {
                        self.mark = (self.mark & !mask) ^ value;
                        continue;
                    }
                    XtTarget::Jump(_) | XtTarget::Goto(_) => {
                        if let XtTarget::Jump(_) = rule.target {
                            self.callers.push((at, index));
                        }
                        (at, index) = (chain.targets[index - 1], 0);
                        self.tracer.entered(table.name, table.chains[at].name);
                        continue;
                    }
                    XtTarget::Return => None,
                    XtTarget::Accept => Some(TableVerdict::Accept),
                    XtTarget::Drop => Some(TableVerdict::Drop),
                    XtTarget::Reject(with) => Some(TableVerdict::Reject(*with)),
                    XtTarget::Dnat { to } => Some(TableVerdict::Dnat(*to)),
                    XtTarget::Masquerade { random_fully } => Some(TableVerdict::Masquerade {
                        random_fully: *random_fully,
                    }),
                };
                if let Some(verdict) = verdict {
                    return (verdict, Some(place));
                }
            }
            // The end of a chain, or a return: back to the caller. A chain that was gone to has none of its own.
            let Some(caller) = self.callers.pop() else {
                let policy = table.chains[base].body.policy.unwrap_or(Policy::Accept);
                return (TableVerdict::Policy(policy), None);
            };
            (at, index) = caller;
            self.tracer.returned(table.name, table.chains[at].name);
        }
    }

    /// The header is compared first, then the extension matches in order: a random choice is made only when
    /// everything before it matches.
    fn matches(&mut self, rule: &XtRule) -> bool {
        let headers = &self.datagram.headers;
        let header_matches = address_matches(rule.source, headers.source)
            && address_matches(rule.destination, headers.destination)
            && interface_matches(rule.in_interface.as_ref(), self.in_interface)
            && interface_matches(rule.out_interface.as_ref(), self.out_interface())
            && rule.protocol.is_none_or(|(negated, protocol)| {
                // Protocol 0 stands for all.
                protocol.0 == 0 || (protocol == headers.protocol) != negated
            });
        header_matches
            && rule
                .matches
                .iter()
                .all(|extension| self.extension_matches(extension))
    }

    fn extension_matches(&mut self, extension: &XtMatch) -> bool {
        let headers = &self.datagram.headers;
        match extension {
            XtMatch::Comment(_) | XtMatch::NfAcct(_) => true,
            XtMatch::Ports {
                protocol,
                source,
                destination,
            } => {
                let Some(tuple) = self.datagram.content.flow() else {
                    return false;
                };
                headers.protocol == *protocol
                    && port_matches(*source, tuple.source_port())
                    && port_matches(*destination, tuple.destination_port())
            }
            XtMatch::CtState { negated, states } => {
                self.tracking.states().intersects(*states) != *negated
            }
            XtMatch::Mark {
                negated,
                value,
                mask,
            } => (self.mark & mask == *value) != *negated,
            XtMatch::Random(probability) => self.chooser.random(*probability),
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

    /// Deviation: links have no broadcast addresses of their own; only the limited one counts as such.
    fn address_type(&self, address: IpAddr) -> AddressType {
        if self.is_local(address) {
            AddressType::Local
        } else if address.is_multicast() {
            AddressType::Multicast
        } else if is_unicast(address) {
            AddressType::Unicast
        } else {
            AddressType::Broadcast
        }
    }
}

fn address_matches(wanted: Option<AddressMatch>, address: IpAddr) -> bool {
    wanted.is_none_or(|wanted| wanted.net.contains(&address) != wanted.negated)
}

/// A hook without an incoming (or outgoing) interface compares with an empty name.
fn interface_matches(wanted: Option<&InterfaceMatch>, name: &str) -> bool {
    wanted.is_none_or(|wanted| {
        let matched = match wanted.name.strip_suffix('+') {
            Some(start) => name.starts_with(start),
            None => *wanted.name == *name,
        };
        matched != wanted.negated
    })
}

fn port_matches(wanted: Option<PortRange>, port: Option<u16>) -> bool {
    wanted.is_none_or(|wanted| {
        port.is_some_and(|port| (wanted.first..=wanted.last).contains(&port) != wanted.negated)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_match_by_name_or_start() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let mut wanted = InterfaceMatch {
                negated: false,
                name: pattern.into(),
            };
            assert_eq!(interface_matches(Some(&wanted), name), expected);
            wanted.negated = true;
            assert_eq!(interface_matches(Some(&wanted), name), !expected);
        };
        check("eth0", "eth0", true);
        check("eth0", "eth01", false);
        check("veth+", "veth12", true);
        check("veth+", "eth0", false);
        check("+", "", true);
        check("eth0", "", false);
    }
}
