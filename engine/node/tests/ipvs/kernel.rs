//! What a kernel has that a proxy in mode ipvs writes to, and what it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ruleset::Family;
use ruleset::ipvs::{IpvsCommand, IpvsTables, ServerKey, Set, SetEntry, SetKind, SetName};
use ruleset::xt::XtUnit;

/// Tables of both families, whoever's, with the device that both share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    pub(crate) tables: BTreeMap<Family, IpvsTables>,
    /// What `kube-ipvs0` has, if there is one.
    pub(crate) device: Option<BTreeSet<IpAddr>>,
    /// Established and other connections of real servers.
    pub(crate) connections: BTreeMap<(ServerKey, SocketAddr), (u64, u64)>,
}

impl Kernel {
    pub(crate) fn new() -> Self {
        let tables = Family::ALL.map(|family| {
            let bound = rules::CompiledIpvs::empty(family).bound;
            (family, IpvsTables::new(family, bound))
        });
        Self {
            tables: tables.into(),
            device: None,
            connections: BTreeMap::new(),
        }
    }

    /// Does what a tool asks for.
    ///
    /// # Errors
    /// What the kernel says when it refuses.
    pub(crate) fn act(&mut self, family: Family, command: &IpvsCommand) -> Result<(), String> {
        let tables = self.tables.get_mut(&family).expect("both are there");
        match tables.apply(command) {
            Some(next) => *tables = next,
            None => return Err(format!("refused: {command:?}")),
        }
        if let IpvsCommand::DeleteReal(server, real) = command {
            self.connections.remove(&(*server, *real));
        }
        Ok(())
    }

    /// The same for `ipset -exist`.
    ///
    /// # Errors
    /// As [`Self::act`].
    pub(crate) fn act_on_set(
        &mut self,
        family: Family,
        command: &IpvsCommand,
    ) -> Result<(), String> {
        let sets = &self.tables[&family].sets;
        let holds = |name: &SetName, entry: &SetEntry| {
            let set = sets.get(name);
            set.map(|set| set.entries.contains(entry))
        };
        let is_so = match command {
            IpvsCommand::CreateSet(name, kind) => {
                sets.get(name).is_some_and(|set| set.kind == *kind)
            }
            IpvsCommand::AddEntry(name, entry) => holds(name, entry) == Some(true),
            IpvsCommand::RemoveEntry(name, entry) => holds(name, entry) == Some(false),
            IpvsCommand::DestroySet(name) => !sets.contains_key(name),
            other => panic!("no command of ipset: {other:?}"),
        };
        if is_so {
            return Ok(());
        }
        self.act(family, command)
    }

    /// Restores a table. Rules name only sets that are there.
    ///
    /// # Errors
    /// As [`Self::act`]; nothing has changed then.
    pub(crate) fn restore(&mut self, family: Family, unit: XtUnit) -> Result<(), String> {
        let mut next = self.clone();
        next.act(family, &IpvsCommand::Rules(unit))?;
        let tables = &next.tables[&family];
        let named: Vec<_> = tables.rules.set_matches().collect();
        let missing = named.iter().find(|one| !tables.sets.contains_key(&one.set));
        if let Some(missing) = missing {
            return Err(format!("Set {} doesn't exist.", missing.set));
        }
        *self = next;
        Ok(())
    }

    /// The kind of a set, of whichever family.
    pub(crate) fn find_set(&self, name: &SetName) -> Option<(Family, SetKind)> {
        let mut found = self.tables.iter();
        found.find_map(|(family, tables)| {
            let set: &Set = tables.sets.get(name)?;
            Some((*family, set.kind))
        })
    }

    pub(crate) fn is_bound(&self, address: IpAddr) -> bool {
        let device = self.device.as_ref();
        device.is_some_and(|device| device.contains(&address))
    }
}
