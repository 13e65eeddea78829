//! What a proxy has put on a node, as the tools show it among what everybody else has.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use rules::CompiledIpvs;
use ruleset::ipvs::{
    IpvsCommand, IpvsTables, ServerKey, Set, SetEntry, SetKind, SetName, Sets, VirtualServers,
    parse_servers, parse_sets,
};
use ruleset::xt::XtTables;
use ruleset::{Family, Protocol};

use super::tools::Listing;
use crate::LoadError;

/// What is there of one family.
#[derive(Debug)]
pub(super) struct Present {
    /// A proxy's. Bound counts what the device and the set that lists it both have, and of what only the device has, what is
    /// not wanted.
    pub(super) tables: IpvsTables,
    /// What has to be done for that to be so: virtual servers with something that no proxy writes go, what is listed as bound
    /// goes from the list if it neither is nor is to be, and a list that the device has lost comes again.
    pub(super) repairs: Vec<IpvsCommand>,
}

impl Present {
    /// Picks what is there of a proxy, which is to have the wanted tables, and has these rules.
    pub(super) fn read(
        listing: &Listing,
        wanted: &IpvsTables,
        rules: XtTables,
    ) -> Result<Self, LoadError> {
        let family = wanted.family;
        let bound = &listing.addresses.bound;
        let mut tables = IpvsTables::new(family, wanted.bound.clone());
        tables.rules = Arc::new(rules);
        tables.sets = sets(&listing.sets, family)?;
        let is_own =
            |key: &ServerKey| wanted.servers.contains_key(key) || is_own(*key, &tables.sets, bound);
        let (servers, strange) = servers(&listing.servers, family, is_own);
        tables.servers = servers;
        let mut present = Self {
            tables,
            repairs: strange.into_iter().map(IpvsCommand::DeleteServer).collect(),
        };
        present.settle_bound(wanted, bound);
        Ok(present)
    }

    fn settle_bound(&mut self, wanted: &IpvsTables, device: &BTreeSet<IpAddr>) {
        let Self { tables, repairs } = self;
        let name = &wanted.bound;
        let is_wanted = |address: IpAddr| wanted.is_bound(address);
        let listed: BTreeSet<IpAddr> = tables.addresses().collect();
        let of_family = device.iter().copied();
        let of_family = of_family.filter(|address| Family::of(*address) == tables.family);
        let bound = of_family.filter(|address| listed.contains(address) || !is_wanted(*address));
        let bound: Vec<IpAddr> = bound.collect();
        let unbound = listed.difference(device).copied();
        let unbound = unbound.filter(|address| !is_wanted(*address));
        let unlisted = unbound
            .map(|address| IpvsCommand::RemoveEntry(name.clone(), SetEntry::Address(address)));
        repairs.extend(unlisted);
        if bound.is_empty() && !tables.sets.contains_key(name) {
            return;
        }
        let list = tables.sets.entry(name.clone()).or_insert_with(|| {
            let made = IpvsCommand::CreateSet(name.clone(), SetKind::Address);
            repairs.push(made);
            Set::new(SetKind::Address)
        });
        list.entries = bound.into_iter().map(SetEntry::Address).collect();
    }
}

fn unreadable(tool: &str, error: &impl ToString) -> LoadError {
    LoadError::Unreadable {
        tool: tool.to_owned(),
        error: error.to_string(),
    }
}

/// A proxy's sets among all that are saved.
fn sets(saved: &str, family: Family) -> Result<Sets, LoadError> {
    let own = CompiledIpvs::empty(family).sets;
    let is_own = |line: &str| {
        let name = line.split_ascii_whitespace().nth(1).and_then(SetName::new);
        name.is_some_and(|name| own.contains_key(&name))
    };
    // The line of an error is that of the whole.
    let lines = saved
        .lines()
        .map(|line| if is_own(line) { line } else { "" });
    let text = lines.collect::<Vec<_>>().join("\n");
    let sets = parse_sets(&text, family).map_err(|error| unreadable("ipset", &error))?;
    let mut other = sets
        .iter()
        .filter(|(name, set)| own[*name].kind != set.kind);
    match other.next() {
        Some((name, set)) => {
            let error = format!("set {name} is a {}, not a {}", set.kind, own[name].kind);
            Err(unreadable("ipset", &error))
        }
        None => Ok(sets),
    }
}

/// Whether a virtual server is a proxy's, by where it is.
fn is_own(key: ServerKey, sets: &Sets, bound: &BTreeSet<IpAddr>) -> bool {
    let (ip, port) = (key.address.ip(), key.address.port());
    let has = |entry: SetEntry| sets.values().any(|set| set.entries.contains(&entry));
    // A node port's may be at an address that the node has lost since.
    bound.contains(&ip)
        || has(SetEntry::AddressPort(ip, key.protocol, port))
        || has_node_port(key.protocol, port, Family::of(ip), sets)
}

fn has_node_port(protocol: Protocol, port: u16, family: Family, sets: &Sets) -> bool {
    let of_protocol = CompiledIpvs::node_port_sets(family);
    let mut of_protocol = of_protocol.iter().filter(|(of, _)| *of == protocol);
    of_protocol.any(|(_, name)| {
        let set = sets.get(name);
        set.is_some_and(|set| set.entries.contains(&SetEntry::Port(port)))
    })
}

/// A proxy's virtual servers of a family among all that are saved; and those that cannot be read.
fn servers(
    saved: &str,
    family: Family,
    is_own: impl Fn(&ServerKey) -> bool,
) -> (VirtualServers, Vec<ServerKey>) {
    let mut servers = VirtualServers::new();
    let mut strange = Vec::new();
    let lines = saved
        .lines()
        .filter_map(|line| Some((ServerKey::of_line(line)?, line)));
    let own = lines.filter(|(key, _)| Family::of(key.address.ip()) == family && is_own(key));
    let own: Vec<(ServerKey, &str)> = own.collect();
    for alike in own.chunk_by(|(one, _), (next, _)| one == next) {
        let text: String = alike.iter().flat_map(|(_, line)| [*line, "\n"]).collect();
        match parse_servers(&text) {
            Ok(read) => servers.extend(read),
            Err(_) => strange.push(alike[0].0),
        }
    }
    (servers, strange)
}
