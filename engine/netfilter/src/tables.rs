//! Everything on a node, prepared for evaluation.
//!
//! **What.** [`NodeTables`] holds what several owners wrote (a proxy, a CNI, leftovers of another mode), in both
//! dialects, every name resolved; and for each hook the order in which the kernel calls it all. **Why.** Evaluation
//! then follows indices and cannot fail; and as it keeps the very rules that it was given, what is printed is what
//! is interpreted. **Source of the semantics.** `nf_register_net_hook` and `nf_hook_entries_grow` in
//! `net/netfilter/core.c`; `nf_nat_register_fn` in `net/netfilter/nf_nat_core.c`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use ruleset::Family;
use ruleset::ipvs::{self, IpvsTables, ServerKey, VirtualServer};
use ruleset::nft::{ChainKind, NftTables, TableKey};
use ruleset::xt::{RecentAction, TableName, XtMatch, XtTables};

use crate::elements::SetName;
use crate::hook::{Called, Idle, Step, Unwatched};
use crate::ipvs::check as ipvs_check;
use crate::nft::NftCode;
use crate::xt::{Merged, Table};
use crate::{Hook, TablesError};

/// What one owner has put on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruleset {
    /// Tables of iptables, of one family.
    Xt(Arc<XtTables>),
    /// Tables of nftables.
    Nft(Arc<NftTables>),
    /// Virtual servers, sets, and the rules that look into them, of one family.
    Ipvs(Arc<IpvsTables>),
}

impl From<&Arc<IpvsTables>> for Ruleset {
    fn from(tables: &Arc<IpvsTables>) -> Self {
        Self::Ipvs(Arc::clone(tables))
    }
}

impl From<Arc<XtTables>> for Ruleset {
    fn from(tables: Arc<XtTables>) -> Self {
        Self::Xt(tables)
    }
}

impl From<&Arc<XtTables>> for Ruleset {
    fn from(tables: &Arc<XtTables>) -> Self {
        Self::Xt(Arc::clone(tables))
    }
}

impl From<Arc<NftTables>> for Ruleset {
    fn from(tables: Arc<NftTables>) -> Self {
        Self::Nft(tables)
    }
}

impl From<&Arc<NftTables>> for Ruleset {
    fn from(tables: &Arc<NftTables>) -> Self {
        Self::Nft(Arc::clone(tables))
    }
}

impl From<&Self> for Ruleset {
    fn from(ruleset: &Self) -> Self {
        ruleset.clone()
    }
}

/// All tables of a node, of both families.
#[derive(Clone, Debug)]
pub struct NodeTables {
    nft: BTreeMap<TableKey, Arc<NftCode>>,
    v4: FamilyTables,
    v6: FamilyTables,
}

impl NodeTables {
    /// No rules at all: everything passes.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Takes what several owners wrote, in the order in which they registered it.
    ///
    /// In iptables, built-in chains of several owners are concatenated (their policy is to drop if any owner's
    /// is), other chains must be equal or empty but for one owner. In nftables each table has one owner.
    ///
    /// # Errors
    /// When the kernel would not load the result; see [`TablesError`].
    pub fn new<O: Into<Ruleset>>(owners: impl IntoIterator<Item = O>) -> Result<Self, TablesError> {
        Self::build(owners, false)
    }

    /// Takes what was read from a node. A rule that cannot be resolved is kept: what becomes of a packet that
    /// reaches it is not known ([`Verdict::Unknown`](crate::Verdict::Unknown)).
    ///
    /// # Errors
    /// When the kernel would not load the rest; see [`TablesError`].
    pub fn of_dump<O: Into<Ruleset>>(
        owners: impl IntoIterator<Item = O>,
    ) -> Result<Self, TablesError> {
        Self::build(owners, true)
    }

    fn build<O: Into<Ruleset>>(
        owners: impl IntoIterator<Item = O>,
        is_dump: bool,
    ) -> Result<Self, TablesError> {
        let mut builder = Builder {
            is_dump,
            ..Builder::default()
        };
        for owner in owners {
            builder.add(owner.into())?;
        }
        builder.finish()
    }

    /// Whether an address is on the device of virtual servers, and so the node's own.
    #[must_use]
    pub fn is_bound(&self, address: IpAddr) -> bool {
        self.family(Family::of(address)).is_bound(address)
    }

    /// Reads one family of iptables back from the form that is interpreted. Chains are shared, not copied, unless
    /// several owners' were concatenated.
    #[must_use]
    pub fn tables(&self, family: Family) -> XtTables {
        let tables = self.family(family).xt.iter();
        XtTables {
            family,
            tables: tables.map(Table::read_back).collect(),
        }
    }

    /// Reads the tables of nftables back from the form that is interpreted. Nothing is copied but names.
    #[must_use]
    pub fn nft_tables(&self) -> NftTables {
        let tables = self.nft.iter();
        NftTables {
            tables: tables
                .map(|(key, code)| (key.clone(), code.read_back()))
                .collect(),
        }
    }

    /// The same tables without short cuts: every rule is compared, as a kernel does. The answers are the same; tests
    /// hold one against the other.
    #[must_use]
    pub fn plain_scan(mut self) -> Self {
        for family in [&mut self.v4, &mut self.v6] {
            family.xt.iter_mut().for_each(Table::drop_indexes);
            for code in &mut family.nft {
                Arc::make_mut(code).drop_shortcuts();
            }
            for step in family.steps.iter_mut().flatten() {
                if let Step::Call { idle, quiet, .. } = step {
                    (*idle, *quiet) = Default::default();
                }
            }
            family.unwatched = None;
        }
        self
    }

    pub(crate) const fn family(&self, family: Family) -> &FamilyTables {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    pub(crate) fn names_recent_list(&self, list: &str) -> bool {
        [&self.v4, &self.v6]
            .iter()
            .any(|family| family.recent.contains_key(list))
    }

    pub(crate) fn has_virtual_server(&self, server: &ServerKey) -> bool {
        let family = self.family(Family::of(server.address.ip()));
        family.virtual_server(server).is_some()
    }

    pub(crate) fn has_set(&self, name: &SetName) -> bool {
        let table = self.nft.get(&name.table);
        table.is_some_and(|table| table.set_numbers.contains_key(&name.set))
    }

    pub(crate) fn has_chain(&self, name: &SetName) -> bool {
        let table = self.nft.get(&name.table);
        table.is_some_and(|table| table.chain_numbers.contains_key(&name.set))
    }
}

impl Default for NodeTables {
    fn default() -> Self {
        let built = Builder::default().finish();
        built.expect("nothing is wrong with no tables")
    }
}

/// What packets of one family meet.
#[derive(Clone, Debug)]
pub(crate) struct FamilyTables {
    xt: Vec<Table>,
    nft: Vec<Arc<NftCode>>,
    /// By [`Hook`], in order.
    steps: [Box<[Step]>; Hook::ALL.len()],
    /// `None` when every way is watched.
    unwatched: Option<Unwatched>,
    /// What is asked about the translation of a new connection: by [`Hook`], in order.
    nat: [Box<[Called]>; Hook::ALL.len()],
    /// Every list of `-m recent`, and how many times of an address somebody asks about.
    recent: BTreeMap<Box<str>, u32>,
    ipvs: Option<Arc<IpvsTables>>,
}

impl FamilyTables {
    pub(crate) fn virtual_server(&self, server: &ServerKey) -> Option<&VirtualServer> {
        let server = self.ipvs.as_ref()?.servers.get(server)?;
        Some(server)
    }

    pub(crate) fn set(&self, name: &ipvs::SetName) -> Option<&ipvs::Set> {
        self.ipvs.as_ref()?.sets.get(name)
    }

    /// Whether an address is on the device of virtual servers, and so the node's own.
    pub(crate) fn is_bound(&self, address: IpAddr) -> bool {
        let ipvs = self.ipvs.as_ref();
        ipvs.is_some_and(|ipvs| ipvs.is_bound(address))
    }

    pub(crate) fn steps(&self, hook: Hook) -> &[Step] {
        &self.steps[hook as usize]
    }

    /// On which ways nobody looks at packets of known connections, if there are any.
    pub(crate) const fn unwatched(&self) -> Option<&Unwatched> {
        self.unwatched.as_ref()
    }

    pub(crate) fn nat(&self, hook: Hook) -> &[Called] {
        &self.nat[hook as usize]
    }

    pub(crate) fn xt(&self, table: usize) -> &Table {
        &self.xt[table]
    }

    pub(crate) fn nft(&self, table: usize) -> &NftCode {
        &self.nft[table]
    }

    pub(crate) fn recent_depth(&self, list: &str) -> u32 {
        self.recent.get(list).copied().unwrap_or(1)
    }
}

/// Tables in the making.
struct Builder {
    xt: [Merged; 2],
    nft: BTreeMap<TableKey, (Arc<NftTables>, Arc<NftCode>)>,
    /// By [`Family`].
    ipvs: [Option<Arc<IpvsTables>>; 2],
    /// In order of registration, each once.
    order: Vec<Registered>,
    is_dump: bool,
}

/// Something that registers itself with the kernel's hooks.
#[derive(Clone, PartialEq, Eq)]
enum Registered {
    Xt(Family, TableName),
    Nft(TableKey),
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            xt: Family::ALL.map(Merged::new),
            nft: BTreeMap::new(),
            ipvs: [None, None],
            order: Vec::new(),
            is_dump: false,
        }
    }
}

impl Builder {
    fn add(&mut self, owner: Ruleset) -> Result<(), TablesError> {
        match owner {
            Ruleset::Xt(tables) => self.add_xt(&tables),
            Ruleset::Ipvs(tables) => {
                ipvs_check(&tables)?;
                self.add_xt(&tables.rules)?;
                let family = tables.family;
                match self.ipvs[family as usize].replace(tables) {
                    None => Ok(()),
                    Some(_) => Err(TablesError::VirtualServersConflict { family }),
                }
            }
            Ruleset::Nft(tables) => {
                for (key, table) in &tables.tables {
                    if let Some((present, _)) = self.nft.get(key) {
                        if present.tables.get(key) != Some(table) {
                            return Err(TablesError::TableConflict(key.clone()));
                        }
                        continue;
                    }
                    let code = Arc::new(NftCode::build(key, table, self.is_dump)?);
                    self.register(Registered::Nft(key.clone()));
                    self.nft.insert(key.clone(), (Arc::clone(&tables), code));
                }
                Ok(())
            }
        }
    }

    fn add_xt(&mut self, tables: &XtTables) -> Result<(), TablesError> {
        let family = tables.family;
        for table in tables.tables.keys() {
            self.register(Registered::Xt(family, *table));
        }
        self.xt[family as usize].add(tables)
    }

    fn register(&mut self, one: Registered) {
        if !self.order.contains(&one) {
            self.order.push(one);
        }
    }

    fn finish(self) -> Result<NodeTables, TablesError> {
        let Self {
            xt,
            nft,
            ipvs,
            order,
            ..
        } = self;
        let nft: BTreeMap<_, _> = nft
            .into_iter()
            .map(|(key, (_, code))| (key, code))
            .collect();
        let ([v4, v6], [ipvs4, ipvs6]) = (xt, ipvs);
        Ok(NodeTables {
            v4: FamilyTables::build(v4, ipvs4, &nft, &order)?,
            v6: FamilyTables::build(v6, ipvs6, &nft, &order)?,
            nft,
        })
    }
}

impl FamilyTables {
    fn build(
        merged: Merged,
        ipvs: Option<Arc<IpvsTables>>,
        nft: &BTreeMap<TableKey, Arc<NftCode>>,
        order: &[Registered],
    ) -> Result<Self, TablesError> {
        let family = merged.family;
        let xt = merged.tables.into_iter();
        let xt = xt.map(|(name, chains)| Table::build(family, name, chains));
        let xt = xt.collect::<Result<Vec<_>, _>>()?;
        let mut tables = Self {
            recent: recent_lists(&xt),
            ipvs,
            xt,
            nft: Vec::new(),
            steps: Default::default(),
            unwatched: None,
            nat: Default::default(),
        };
        tables.check_sets(family)?;
        let mut places = Vec::new();
        for registered in order {
            match registered {
                Registered::Xt(of, name) if *of == family => {
                    tables.place_xt(*name, &mut places);
                }
                Registered::Nft(key) if key.family.sees(family) => {
                    let code = Arc::clone(&nft[key]);
                    place_nft(&code, tables.nft.len(), &mut places);
                    tables.nft.push(code);
                }
                Registered::Xt(..) | Registered::Nft(_) => {}
            }
        }
        for hook in Hook::ALL {
            let own = match &tables.ipvs {
                Some(_) => [hook.own_steps(), hook.virtual_steps()].concat(),
                None => hook.own_steps().to_vec(),
            };
            let (steps, nat) = schedule(hook, &places, &own);
            tables.steps[hook as usize] = steps;
            tables.nat[hook as usize] = nat;
        }
        tables.unwatched = Unwatched::of(|hook| &tables.steps[hook as usize]);
        Ok(tables)
    }

    /// Whether every set is there that a rule looks into.
    fn check_sets(&self, family: Family) -> Result<(), TablesError> {
        for table in &self.xt {
            for (chain, index, set) in table.set_matches() {
                if self.set(set).is_none() {
                    return Err(TablesError::MissingSet {
                        family,
                        table: table.name,
                        chain,
                        index,
                        set: set.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn place_xt(&self, name: TableName, places: &mut Vec<Place>) {
        for (number, table) in self.xt.iter().enumerate() {
            let hooks = Hook::ALL.into_iter().filter(|_| table.name == name);
            places.extend(hooks.filter_map(|hook| {
                Some(Place {
                    hook,
                    priority: hook.xt_priority(name),
                    is_nat: name == TableName::Nat,
                    called: Called::Xt {
                        table: number,
                        chain: table.base(hook)?,
                    },
                    idle: table.idle(table.base(hook)?),
                    quiet: table.quiet(table.base(hook)?),
                })
            }));
        }
    }
}

/// A chain that the kernel calls.
struct Place {
    hook: Hook,
    priority: i32,
    is_nat: bool,
    called: Called,
    idle: Idle,
    quiet: Idle,
}

fn place_nft(code: &NftCode, table: usize, places: &mut Vec<Place>) {
    for (chain, body) in (0..).zip(&code.chains) {
        if let Some(base) = body.body.base {
            places.push(Place {
                hook: base.hook.into(),
                priority: base.priority,
                is_nat: base.kind == ChainKind::Nat,
                called: Called::Nft { table, chain },
                idle: code.idle(chain),
                quiet: code.idle(chain),
            });
        }
    }
}

/// What happens at a hook, and whom a new connection's translation is asked of; by priority. Among equals the one
/// that registered last comes first (`nf_hook_entries_grow`), and the kernel's own steps come last.
///
/// A chain of type `nat` is called where the kernel translates, whatever its priority: that only orders it among
/// its like.
fn schedule(hook: Hook, places: &[Place], own: &[(i32, Step)]) -> (Box<[Step]>, Box<[Called]>) {
    let here = || places.iter().rev().filter(|place| place.hook == hook);
    let mut nat: Vec<&Place> = here().filter(|place| place.is_nat).collect();
    nat.sort_by_key(|place| place.priority);
    let others = here().filter(|place| !place.is_nat);
    let call = |place: &Place| Step::Call {
        called: place.called,
        idle: place.idle,
        quiet: place.quiet,
    };
    let mut steps: Vec<(i32, Step)> = others.map(|place| (place.priority, call(place))).collect();
    steps.extend_from_slice(own);
    steps.sort_by_key(|(priority, _)| *priority);
    (
        steps.into_iter().map(|(_, step)| step).collect(),
        nat.into_iter().map(|place| place.called).collect(),
    )
}

/// Every list that a rule names, and the greatest number of hits that one asks about.
fn recent_lists(tables: &[Table]) -> BTreeMap<Box<str>, u32> {
    let mut lists = BTreeMap::new();
    for one in tables
        .iter()
        .flat_map(Table::rules)
        .flat_map(|rule| &rule.matches)
    {
        let XtMatch::Recent(recent) = one else {
            continue;
        };
        let hits = match recent.action {
            RecentAction::Rcheck(window) | RecentAction::Update(window) => window.hit_count,
            RecentAction::Set | RecentAction::Remove => None,
        };
        let depth = lists.entry(recent.name.clone()).or_insert(1);
        *depth = (*depth).max(hits.map_or(1, NonZeroU32::get));
    }
    lists
}

#[cfg(test)]
mod tests {
    use ruleset::xt::{ChainName, RejectWith, XtChain, XtRule, XtTarget};

    use super::*;

    fn tables(
        family: Family,
        chains: &[(TableName, &'static str, Vec<XtTarget>)],
    ) -> Arc<XtTables> {
        let mut tables = XtTables::new(family);
        for (table, name, targets) in chains {
            let chain = XtChain {
                policy: None,
                rules: targets.iter().cloned().map(XtRule::new).collect(),
            };
            let table = tables.tables.entry(*table).or_default();
            table
                .chains
                .insert(ChainName::literal(name), Arc::new(chain));
        }
        Arc::new(tables)
    }

    fn jump(name: &'static str) -> XtTarget {
        XtTarget::Jump(ChainName::literal(name))
    }

    fn dnat(address: &str) -> XtTarget {
        XtTarget::Dnat {
            to: ruleset::xt::NatTarget {
                address: address.parse().unwrap(),
                port: None,
            },
        }
    }

    fn check_refused(chains: &[(TableName, &'static str, Vec<XtTarget>)], message: &str) {
        let refused = NodeTables::new(&[tables(Family::V4, chains)]).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }

    #[test]
    fn refuses_what_the_kernel_refuses() {
        use TableName::{Filter, Nat};
        check_refused(
            &[(Filter, "INPUT", vec![XtTarget::None, jump("NOWHERE")])],
            "IPv4 filter/INPUT rule 2: no chain NOWHERE",
        );
        check_refused(
            &[
                (Filter, "INPUT", vec![]),
                (Filter, "A", vec![jump("INPUT")]),
            ],
            "IPv4 filter/A rule 1: INPUT is a built-in chain",
        );
        check_refused(
            &[
                (Filter, "INPUT", vec![jump("A")]),
                (Filter, "A", vec![jump("B")]),
                (Filter, "B", vec![XtTarget::Goto(ChainName::literal("A"))]),
            ],
            "IPv4 filter: chain A is reached from itself",
        );
        check_refused(
            &[(Filter, "INPUT", vec![dnat("10.0.0.1")])],
            "IPv4 filter/INPUT rule 1: DNAT is valid only in nat/PREROUTING and nat/OUTPUT",
        );
        check_refused(
            &[
                (Nat, "POSTROUTING", vec![jump("A")]),
                (Nat, "A", vec![dnat("10.0.0.1")]),
            ],
            "IPv4 nat/A rule 1: DNAT is valid only in nat/PREROUTING and nat/OUTPUT",
        );
        check_refused(
            &[(
                Nat,
                "PREROUTING",
                vec![XtTarget::Reject(RejectWith::TcpReset)],
            )],
            "IPv4 nat/PREROUTING rule 1: REJECT is valid only in filter",
        );
        check_refused(
            &[(Nat, "PREROUTING", vec![dnat("fd00::1")])],
            "IPv4 nat/PREROUTING rule 1: translates to an address of another family",
        );
    }

    #[test]
    fn a_chain_may_be_reached_twice() {
        let chains = [
            (
                TableName::Filter,
                "INPUT",
                vec![jump("A"), jump("B"), jump("A")],
            ),
            (TableName::Filter, "A", vec![jump("B")]),
            (TableName::Filter, "B", vec![]),
        ];
        NodeTables::new(&[tables(Family::V4, &chains)]).unwrap();
    }

    #[test]
    fn owners_are_merged_chain_by_chain() {
        use TableName::Nat;
        let ours = tables(
            Family::V4,
            &[
                (Nat, "PREROUTING", vec![jump("OURS")]),
                (Nat, "OURS", vec![]),
                (Nat, "BOTH", vec![XtTarget::Return]),
            ],
        );
        let theirs = tables(
            Family::V4,
            &[
                (Nat, "PREROUTING", vec![jump("THEIRS")]),
                (Nat, "THEIRS", vec![]),
                (Nat, "BOTH", vec![XtTarget::Return]),
            ],
        );
        let expected = tables(
            Family::V4,
            &[
                (Nat, "PREROUTING", vec![jump("OURS"), jump("THEIRS")]),
                (Nat, "OURS", vec![]),
                (Nat, "THEIRS", vec![]),
                (Nat, "BOTH", vec![XtTarget::Return]),
            ],
        );
        let node = NodeTables::new(&[Arc::clone(&ours), theirs]).unwrap();
        assert_eq!(node.tables(Family::V4), *expected);
        assert_eq!(node.tables(Family::V6), XtTables::new(Family::V6));

        let contradiction = tables(Family::V4, &[(Nat, "BOTH", vec![XtTarget::Accept])]);
        let refused = NodeTables::new(&[ours, contradiction]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "IPv4 nat: two owners fill chain BOTH differently"
        );
    }

    #[test]
    fn reads_back_what_it_was_given() {
        let given = tables(
            Family::V6,
            &[
                (TableName::Filter, "INPUT", vec![jump("A")]),
                (TableName::Filter, "A", vec![XtTarget::Drop]),
            ],
        );
        let node = NodeTables::new(&[Arc::clone(&given)]).unwrap();
        assert_eq!(node.tables(Family::V6), *given);
    }
}
