//! Changes to IPVS tables, as data.
//!
//! **What.** An [`IpvsTransaction`] is the list of commands that makes one owner's tables the other's, and the real
//! servers that are to go once nobody talks to them. **Why.** A kernel takes each command by itself, so what packets
//! find in between depends on the order, and the order is: whatever is needed is made before whatever needs it, and
//! taken away after it. An address is bound once its server serves it, and what filters it stays as long as it is served.
//! Rules that translate to endpoints, as those of a proxy in mode iptables, go once virtual servers serve in their place. A
//! real server of TCP gets the weight 0 and goes later, one of UDP and SCTP goes at once (PROXY-61). **Source of the semantics.** `syncProxyRules` and
//! `graceful_termination.go` of kube-proxy 1.36 `pkg/proxy/ipvs/`.

use std::net::SocketAddr;
use std::sync::Arc;

use imbl::ordmap::DiffItem;

use super::{
    Forwarding, IpvsTables, RealServer, ServerKey, Set, SetEntry, SetKind, SetName, VirtualServer,
};
use crate::xt::{TableName, XtTables, XtTarget, XtTransaction, XtUnit};
use crate::{Family, Protocol};

/// What happens to the tables of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpvsTransaction {
    /// IPv4 or IPv6.
    pub family: Family,
    /// The set that lists what is bound.
    pub bound: SetName,
    /// In order.
    pub commands: Vec<IpvsCommand>,
    /// What gets no new connections from now on, and goes when it has no old ones.
    pub drained: Vec<Drained>,
}

/// A real server that is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Its virtual server.
    pub server: ServerKey,
    /// Its address and port.
    pub address: SocketAddr,
}

impl Drained {
    /// What takes it away.
    #[must_use]
    pub const fn removal(self) -> IpvsCommand {
        IpvsCommand::DeleteReal(self.server, self.address)
    }
}

/// What a kernel takes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IpvsCommand {
    /// `ipset create`
    CreateSet(SetName, SetKind),
    /// `ipset add`
    AddEntry(SetName, SetEntry),
    /// `ipset add` to the set that lists what is bound, and the device gets the address.
    Bind(SetEntry),
    /// What `iptables-restore` takes.
    Rules(XtUnit),
    /// `ipvsadm -A`; real servers come by themselves.
    AddServer(ServerKey, Arc<VirtualServer>),
    /// `ipvsadm -E`; real servers stay.
    EditServer(ServerKey, Arc<VirtualServer>),
    /// `ipvsadm -a`
    AddReal(ServerKey, SocketAddr, RealServer),
    /// `ipvsadm -e`
    EditReal(ServerKey, SocketAddr, RealServer),
    /// `ipvsadm -d`
    DeleteReal(ServerKey, SocketAddr),
    /// `ip address delete`, and `ipset del` from the set that lists what is bound.
    Unbind(SetEntry),
    /// `ipvsadm -D`
    DeleteServer(ServerKey),
    /// `ipset del`
    RemoveEntry(SetName, SetEntry),
    /// `ipset destroy`
    DestroySet(SetName),
}

impl IpvsTransaction {
    /// What makes one owner's tables the other's. It costs what differs.
    ///
    /// # Panics
    /// When the two are of different families or list what is bound in different sets: they are then different
    /// programs' tables.
    #[must_use]
    pub fn between(before: &IpvsTables, after: &IpvsTables) -> Self {
        let whose = |tables: &IpvsTables| (tables.family, tables.bound.clone());
        assert_eq!(whose(before), whose(after), "tables of one program");
        let mut draft = Draft::default();
        draft.sets(before, after);
        draft.servers(before, after);
        let [ruled, unruled] = XtTransaction::halves(&before.rules, &after.rules);
        let is_relieved = translates(&before.rules);
        let (relieved, ruled): (Vec<_>, Vec<_>) = ruled
            .into_iter()
            .partition(|unit| is_relieved && unit.table == TableName::Nat);
        let [ruled, relieved, unruled] =
            [ruled, relieved, unruled].map(|units| units.into_iter().map(IpvsCommand::Rules));
        let Draft {
            sets,
            entries,
            bind,
            serve,
            unbind,
            unserve,
            remove,
            destroy,
            drained,
        } = draft;
        let made = sets.into_iter().chain(entries).chain(ruled);
        let served = serve.into_iter().chain(bind).chain(relieved).chain(unbind);
        let unserved = unserve.into_iter().chain(unruled);
        let gone = unserved.chain(remove).chain(destroy);
        Self {
            family: after.family,
            bound: after.bound.clone(),
            commands: made.chain(served).chain(gone).collect(),
            drained,
        }
    }

    /// Whether nothing happens, and nothing drains.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.drained.is_empty()
    }
}

/// Whether rules send packets to endpoints themselves.
fn translates(rules: &XtTables) -> bool {
    let nat = rules.tables.get(&TableName::Nat);
    let chains = nat.into_iter().flat_map(|table| table.chains.values());
    let mut rules = chains.flat_map(|chain| &chain.rules);
    rules.any(|rule| matches!(rule.target, XtTarget::Dnat { .. }))
}

/// The commands by the time at which they come.
#[derive(Default)]
struct Draft {
    sets: Vec<IpvsCommand>,
    entries: Vec<IpvsCommand>,
    bind: Vec<IpvsCommand>,
    serve: Vec<IpvsCommand>,
    unbind: Vec<IpvsCommand>,
    unserve: Vec<IpvsCommand>,
    remove: Vec<IpvsCommand>,
    destroy: Vec<IpvsCommand>,
    drained: Vec<Drained>,
}

impl Draft {
    fn sets(&mut self, before: &IpvsTables, after: &IpvsTables) {
        for item in before.sets.diff(&after.sets) {
            match item {
                DiffItem::Add(name, set) => {
                    let made = IpvsCommand::CreateSet(name.clone(), set.kind);
                    self.sets.push(made);
                    self.entries(name, &Set::new(set.kind), set, after);
                }
                DiffItem::Remove(name, set) => {
                    self.entries(name, set, &Set::new(set.kind), after);
                    self.destroy.push(IpvsCommand::DestroySet(name.clone()));
                }
                DiffItem::Update {
                    old: (name, old),
                    new: (_, new),
                } => self.entries(name, old, new, after),
            }
        }
    }

    fn entries(&mut self, name: &SetName, old: &Set, new: &Set, tables: &IpvsTables) {
        let is_bound = *name == tables.bound;
        for item in old.entries.diff(&new.entries) {
            match item {
                imbl::ordset::DiffItem::Add(entry) if is_bound => {
                    self.bind.push(IpvsCommand::Bind(*entry));
                }
                imbl::ordset::DiffItem::Add(entry) => {
                    let added = IpvsCommand::AddEntry(name.clone(), *entry);
                    self.entries.push(added);
                }
                imbl::ordset::DiffItem::Remove(entry) if is_bound => {
                    self.unbind.push(IpvsCommand::Unbind(*entry));
                }
                imbl::ordset::DiffItem::Remove(entry) => {
                    let removed = IpvsCommand::RemoveEntry(name.clone(), *entry);
                    self.remove.push(removed);
                }
            }
        }
    }

    fn servers(&mut self, before: &IpvsTables, after: &IpvsTables) {
        for item in before.servers.diff(&after.servers) {
            match item {
                DiffItem::Add(key, server) => {
                    let made = IpvsCommand::AddServer(*key, Arc::clone(server));
                    self.serve.push(made);
                    for (address, real) in &server.real_servers {
                        let added = IpvsCommand::AddReal(*key, *address, *real);
                        self.serve.push(added);
                    }
                }
                DiffItem::Remove(key, _) => self.unserve.push(IpvsCommand::DeleteServer(*key)),
                DiffItem::Update {
                    old: (key, old),
                    new: (_, new),
                } => self.real_servers(*key, old, new),
            }
        }
    }

    fn real_servers(&mut self, key: ServerKey, old: &VirtualServer, new: &Arc<VirtualServer>) {
        let settings = |of: &VirtualServer| (of.scheduler, of.persistence, of.scheduler_flags);
        if settings(old) != settings(new) {
            let edited = IpvsCommand::EditServer(key, Arc::clone(new));
            self.serve.push(edited);
        }
        for (address, real) in &new.real_servers {
            match old.real_servers.get(address) {
                None => self.serve.push(IpvsCommand::AddReal(key, *address, *real)),
                Some(present) if present != real => {
                    self.serve.push(IpvsCommand::EditReal(key, *address, *real));
                }
                Some(_) => {}
            }
        }
        for (address, real) in &old.real_servers {
            if new.real_servers.contains_key(address) {
                continue;
            }
            if key.protocol != Protocol::TCP {
                self.serve.push(IpvsCommand::DeleteReal(key, *address));
                continue;
            }
            if real.weight != 0 {
                let idle = RealServer { weight: 0, ..*real };
                self.serve.push(IpvsCommand::EditReal(key, *address, idle));
            }
            self.drained.push(Drained {
                server: key,
                address: *address,
            });
        }
    }
}

impl IpvsTables {
    /// The tables after a command. These stay as they are; what does not change is shared.
    ///
    /// `None` when a kernel would refuse it: what it names is not there, or is there already, or is still in use.
    #[must_use]
    pub fn apply(&self, command: &IpvsCommand) -> Option<Self> {
        let mut tables = self.clone();
        tables.act(command).then_some(tables)
    }

    /// Whether it was possible.
    fn act(&mut self, command: &IpvsCommand) -> bool {
        match command {
            IpvsCommand::CreateSet(name, kind) => {
                let made = Set::new(*kind);
                self.sets.insert(name.clone(), made).is_none()
            }
            IpvsCommand::AddEntry(name, entry) => self.add(&name.clone(), *entry),
            IpvsCommand::Bind(entry) => self.add(&self.bound.clone(), *entry),
            IpvsCommand::RemoveEntry(name, entry) => self.remove(&name.clone(), *entry),
            IpvsCommand::Unbind(entry) => self.remove(&self.bound.clone(), *entry),
            IpvsCommand::DestroySet(name) => {
                !self.names_set(name) && self.sets.remove(name).is_some()
            }
            IpvsCommand::Rules(unit) => match self.rules.apply(unit) {
                Some(rules) => {
                    self.rules = Arc::new(rules);
                    true
                }
                None => false,
            },
            IpvsCommand::AddServer(key, server) => {
                let mut server = VirtualServer::clone(server);
                server.real_servers.clear();
                self.servers.insert(*key, Arc::new(server)).is_none()
            }
            IpvsCommand::EditServer(key, wanted) => self.edit(*key, |server| {
                let real_servers = std::mem::take(&mut server.real_servers);
                *server = VirtualServer::clone(wanted);
                server.real_servers = real_servers;
                true
            }),
            IpvsCommand::AddReal(key, address, real) => self.edit(*key, |server| {
                server.real_servers.insert(*address, *real).is_none()
            }),
            IpvsCommand::EditReal(key, address, real) => self.edit(*key, |server| {
                server.real_servers.insert(*address, *real).is_some()
            }),
            IpvsCommand::DeleteReal(key, address) => {
                self.edit(*key, |server| server.real_servers.remove(address).is_some())
            }
            IpvsCommand::DeleteServer(key) => self.servers.remove(key).is_some(),
        }
    }

    /// The tables with real servers that get no new connections, beside those that are there.
    #[must_use]
    pub fn with_drained(&self, drained: &[Drained]) -> Self {
        let mut tables = self.clone();
        for Drained { server, address } in drained {
            let idle = RealServer {
                forwarding: Forwarding::Masquerading,
                weight: 0,
                origin: None,
            };
            let idle = IpvsCommand::AddReal(*server, *address, idle);
            if let Some(with) = tables.apply(&idle) {
                tables = with;
            }
        }
        tables
    }

    fn add(&mut self, name: &SetName, entry: SetEntry) -> bool {
        let family = self.family;
        self.sets.get_mut(name).is_some_and(|set| {
            let fits = set.kind == entry.kind() && entry.fits(family);
            fits && set.entries.insert(entry).is_none()
        })
    }

    fn remove(&mut self, name: &SetName, entry: SetEntry) -> bool {
        let set = self.sets.get_mut(name);
        set.is_some_and(|set| set.entries.remove(&entry).is_some())
    }

    fn edit(&mut self, key: ServerKey, edit: impl FnOnce(&mut VirtualServer) -> bool) -> bool {
        let server = self.servers.get_mut(&key);
        server.is_some_and(|server| edit(Arc::make_mut(server)))
    }

    /// Whether a rule looks into a set.
    fn names_set(&self, name: &SetName) -> bool {
        self.rules.set_matches().any(|one| one.set == *name)
    }
}
