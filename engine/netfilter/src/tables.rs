//! Everything on a node, prepared for evaluation.
//!
//! **What.** [`NodeTables`] merges what several owners wrote (a proxy, a CNI, leftovers of another mode) and
//! resolves every jump once. **Why.** Evaluation then follows indices and cannot fail; and as it reads the very
//! [`XtRule`](ruleset::xt::XtRule)s that it was given, what is printed is what is interpreted.
//! **Source of the semantics.** The checks are the kernel's at load time: `mark_source_chains` and
//! `check_target` in `net/ipv4/netfilter/ip_tables.c`, the `.table` and `.hooks` of each target.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruleset::Family;
use ruleset::xt::{ChainName, Policy, TableName, XtChain, XtTable, XtTables, XtTarget};

use crate::Hook;

/// Why tables cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TablesError {
    /// A rule jumps or goes to a chain that does not exist.
    #[error("{family} {table}/{chain} rule {}: no chain {target}", index + 1)]
    MissingChain {
        /// The family.
        family: Family,
        /// The rule's table.
        table: TableName,
        /// The rule's chain.
        chain: ChainName,
        /// Its position, from 0.
        index: usize,
        /// The chain that is missing.
        target: ChainName,
    },
    /// A rule jumps or goes to a chain that only the kernel may call.
    #[error("{family} {table}/{chain} rule {}: {target} is a built-in chain", index + 1)]
    BuiltInTarget {
        /// The family.
        family: Family,
        /// The rule's table.
        table: TableName,
        /// The rule's chain.
        chain: ChainName,
        /// Its position, from 0.
        index: usize,
        /// The built-in chain.
        target: ChainName,
    },
    /// A rule's target does not work in its table, or in a hook that reaches its chain.
    #[error("{family} {table}/{chain} rule {}: {target} is valid only in {allowed}", index + 1)]
    MisplacedTarget {
        /// The family.
        family: Family,
        /// The rule's table.
        table: TableName,
        /// The rule's chain.
        chain: ChainName,
        /// Its position, from 0.
        index: usize,
        /// The target.
        target: &'static str,
        /// Where it would work.
        allowed: &'static str,
    },
    /// A rule translates to an address of the other family.
    #[error("{family} {table}/{chain} rule {}: translates to an address of another family", index + 1)]
    OtherFamily {
        /// The family.
        family: Family,
        /// The rule's table.
        table: TableName,
        /// The rule's chain.
        chain: ChainName,
        /// Its position, from 0.
        index: usize,
    },
    /// Chains call each other in a circle.
    #[error("{family} {table}: chain {chain} is reached from itself")]
    Loop {
        /// The family.
        family: Family,
        /// The table.
        table: TableName,
        /// A chain of the circle.
        chain: ChainName,
    },
    /// Two owners wrote different rules into one chain of their own.
    #[error("{family} {table}: two owners fill chain {chain} differently")]
    Conflict {
        /// The family.
        family: Family,
        /// The table.
        table: TableName,
        /// The chain.
        chain: ChainName,
    },
}

/// All tables of a node, of both families.
#[derive(Clone, Debug, Default)]
pub struct NodeTables {
    v4: FamilyTables,
    v6: FamilyTables,
}

impl NodeTables {
    /// No rules at all: everything passes.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Merges the tables of several owners, in order: built-in chains are concatenated (their policy is to drop
    /// if any owner's is), other chains must be equal or empty but for one owner.
    ///
    /// # Errors
    /// When the kernel would not load the result; see [`TablesError`].
    pub fn new(owners: &[Arc<XtTables>]) -> Result<Self, TablesError> {
        Ok(Self {
            v4: FamilyTables::build(Family::V4, owners)?,
            v6: FamilyTables::build(Family::V6, owners)?,
        })
    }

    /// Reads one family back from the form that is interpreted. Chains are shared, not copied, unless several
    /// owners' were concatenated.
    #[must_use]
    pub fn tables(&self, family: Family) -> XtTables {
        let tables = self.family(family).0.iter().flatten().map(|table| {
            let chains = table
                .chains
                .iter()
                .map(|chain| (chain.name, Arc::clone(&chain.body)))
                .collect();
            (table.name, XtTable { chains })
        });
        XtTables {
            family,
            tables: tables.collect(),
        }
    }

    pub(crate) const fn family(&self, family: Family) -> &FamilyTables {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

/// The tables of one family, by [`TableName`].
#[derive(Clone, Debug, Default)]
pub(crate) struct FamilyTables([Option<Table>; TableName::ALL.len()]);

impl FamilyTables {
    pub(crate) const fn get(&self, table: TableName) -> Option<&Table> {
        self.0[table as usize].as_ref()
    }

    fn build(family: Family, owners: &[Arc<XtTables>]) -> Result<Self, TablesError> {
        let mut merged: BTreeMap<TableName, BTreeMap<ChainName, Arc<XtChain>>> = BTreeMap::new();
        for owner in owners.iter().filter(|owner| owner.family == family) {
            for (table, content) in &owner.tables {
                let chains = merged.entry(*table).or_default();
                for (name, body) in &content.chains {
                    let present = chains.remove(name);
                    let body = match present {
                        None => Arc::clone(body),
                        Some(present) => merge(&present, body, is_built_in(*table, *name)).ok_or(
                            TablesError::Conflict {
                                family,
                                table: *table,
                                chain: *name,
                            },
                        )?,
                    };
                    chains.insert(*name, body);
                }
            }
        }
        let mut tables = Self::default();
        for (name, chains) in merged {
            tables.0[name as usize] = Some(Table::build(family, name, chains)?);
        }
        Ok(tables)
    }
}

/// One table, jumps resolved.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: TableName,
    /// Ordered by name.
    pub(crate) chains: Vec<Chain>,
    /// The built-in chain of each hook, by [`Hook`].
    base: [Option<usize>; Hook::ALL.len()],
}

/// One chain, jumps resolved.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) name: ChainName,
    pub(crate) body: Arc<XtChain>,
    /// For each rule the index of the chain it jumps or goes to; its own for a rule that does neither.
    pub(crate) targets: Box<[usize]>,
}

impl Table {
    /// The chain that the kernel calls at a hook.
    pub(crate) const fn base(&self, hook: Hook) -> Option<usize> {
        self.base[hook as usize]
    }

    fn build(
        family: Family,
        name: TableName,
        bodies: BTreeMap<ChainName, Arc<XtChain>>,
    ) -> Result<Self, TablesError> {
        let names: Vec<ChainName> = bodies.keys().copied().collect();
        let mut chains = Vec::with_capacity(bodies.len());
        for (own_index, (chain, body)) in bodies.into_iter().enumerate() {
            let resolve = |(index, rule): (usize, &ruleset::xt::XtRule)| {
                let site = Site {
                    family,
                    table: name,
                    chain,
                    index,
                };
                site.resolve(&rule.target, &names, own_index)
            };
            let targets = body.rules.iter().enumerate().map(resolve);
            let targets = targets.collect::<Result<_, _>>()?;
            chains.push(Chain {
                name: chain,
                body,
                targets,
            });
        }
        let built_in = |hook: Hook| {
            let chain = ChainName::literal(hook.chain_name());
            let index = names.binary_search(&chain).ok()?;
            is_built_in(name, chain).then_some(index)
        };
        let table = Self {
            name,
            chains,
            base: Hook::ALL.map(built_in),
        };
        for hook in Hook::ALL {
            table.check_reachable(family, hook)?;
        }
        Ok(table)
    }

    /// Walks every chain that a hook reaches, depth first: there must be no circle, and every target must work
    /// at that hook.
    fn check_reachable(&self, family: Family, hook: Hook) -> Result<(), TablesError> {
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Mark {
            Unseen,
            Open,
            Done,
        }
        let Some(base) = self.base(hook) else {
            return Ok(());
        };
        let mut marks = vec![Mark::Unseen; self.chains.len()];
        let mut path = vec![(base, 0)];
        while let Some((at, index)) = path.pop() {
            marks[at] = Mark::Open;
            let chain = &self.chains[at];
            let Some(rule) = chain.body.rules.get(index) else {
                marks[at] = Mark::Done;
                continue;
            };
            let site = Site {
                family,
                table: self.name,
                chain: chain.name,
                index,
            };
            site.check_hook(&rule.target, hook)?;
            path.push((at, index + 1));
            if !matches!(rule.target, XtTarget::Jump(_) | XtTarget::Goto(_)) {
                continue;
            }
            let target = chain.targets[index];
            match marks[target] {
                Mark::Unseen => path.push((target, 0)),
                Mark::Done => {}
                Mark::Open => {
                    return Err(TablesError::Loop {
                        family,
                        table: self.name,
                        chain: self.chains[target].name,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Where a rule stands, for errors about it.
#[derive(Clone, Copy)]
struct Site {
    family: Family,
    table: TableName,
    chain: ChainName,
    index: usize,
}

impl Site {
    /// Finds the chain that a target names among the (ordered) `names`.
    fn resolve(
        self,
        target: &XtTarget,
        names: &[ChainName],
        own_index: usize,
    ) -> Result<usize, TablesError> {
        let Self {
            family,
            table,
            chain,
            index,
        } = self;
        match target {
            XtTarget::Jump(target) | XtTarget::Goto(target) if is_built_in(table, *target) => {
                Err(TablesError::BuiltInTarget {
                    family,
                    table,
                    chain,
                    index,
                    target: *target,
                })
            }
            XtTarget::Jump(target) | XtTarget::Goto(target) => {
                names
                    .binary_search(target)
                    .map_err(|_| TablesError::MissingChain {
                        family,
                        table,
                        chain,
                        index,
                        target: *target,
                    })
            }
            XtTarget::Dnat { to } if Family::of(to.address) != family => {
                Err(TablesError::OtherFamily {
                    family,
                    table,
                    chain,
                    index,
                })
            }
            XtTarget::Dnat { .. } | XtTarget::Masquerade { .. } if table != TableName::Nat => {
                Err(self.misplaced(target))
            }
            XtTarget::Reject(_) if table != TableName::Filter => Err(self.misplaced(target)),
            _ => Ok(own_index),
        }
    }

    fn check_hook(self, target: &XtTarget, hook: Hook) -> Result<(), TablesError> {
        let works = match target {
            XtTarget::Dnat { .. } => matches!(hook, Hook::Prerouting | Hook::Output),
            XtTarget::Masquerade { .. } => hook == Hook::Postrouting,
            _ => true,
        };
        if works {
            Ok(())
        } else {
            Err(self.misplaced(target))
        }
    }

    const fn misplaced(self, target: &XtTarget) -> TablesError {
        let (target, allowed) = match target {
            XtTarget::Dnat { .. } => ("DNAT", "nat/PREROUTING and nat/OUTPUT"),
            XtTarget::Masquerade { .. } => ("MASQUERADE", "nat/POSTROUTING"),
            _ => ("REJECT", "filter"),
        };
        TablesError::MisplacedTarget {
            family: self.family,
            table: self.table,
            chain: self.chain,
            index: self.index,
            target,
            allowed,
        }
    }
}

fn is_built_in(table: TableName, chain: ChainName) -> bool {
    table.built_in_chains().contains(&chain.as_str())
}

/// One chain out of two owners' chains of a name; `None` when they contradict each other.
fn merge(first: &Arc<XtChain>, second: &Arc<XtChain>, built_in: bool) -> Option<Arc<XtChain>> {
    if first == second && (!built_in || first.rules.is_empty()) {
        return Some(Arc::clone(first));
    }
    if built_in {
        let policy = match (first.policy, second.policy) {
            (Some(Policy::Drop), _) | (_, Some(Policy::Drop)) => Some(Policy::Drop),
            (first, second) => first.or(second),
        };
        let rules = first.rules.iter().chain(&second.rules).cloned().collect();
        return Some(Arc::new(XtChain { policy, rules }));
    }
    match (first.rules.is_empty(), second.rules.is_empty()) {
        (true, _) => Some(Arc::clone(second)),
        (_, true) => Some(Arc::clone(first)),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use ruleset::xt::{RejectWith, XtRule};

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
