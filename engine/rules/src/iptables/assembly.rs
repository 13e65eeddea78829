//! A node's tables of one family, put together from the frame and from what service ports contribute, and kept up to date.
//!
//! **Why.** A service port whose plan changes takes its old chains out and puts its new ones in; copies share the rest. A
//! chain that service ports share, such as `KUBE-SERVICES`, is put together anew when somebody's rules in it change: a
//! restore writes it as a whole, too. An endpoint that comes or goes does not change it, unless it is the first or the last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use ruleset::Family;
use ruleset::xt::{ChainName, TableName, XtChain, XtRule, XtTables};

use super::fragment::{EndpointComments, Fragment, SharedChain};
use super::frame::Frame;
use crate::memo::Lowerer;
use crate::plan::changes;
use crate::{RulePlan, ServicePortId, ServicePortPlans};

/// The tables so far.
#[derive(Clone, Debug)]
pub(crate) struct Assembly {
    comments: EndpointComments,
    tables: XtTables,
    fragments: OrdMap<ServicePortId, Arc<Fragment>>,
    /// What the frame has in shared chains: it comes behind what service ports have there, so that its own rule in
    /// `nat/KUBE-SERVICES` is the last one (PROXY-36).
    shared: BTreeMap<SharedChain, XtChain>,
}

impl Assembly {
    /// Nothing yet; the frame comes by [`Self::reframe`].
    pub(crate) fn new(family: Family, comments: EndpointComments) -> Self {
        Self {
            comments,
            tables: XtTables::new(family),
            fragments: OrdMap::new(),
            shared: BTreeMap::new(),
        }
    }

    /// Has the frame be that of a plan for the same family.
    pub(crate) fn reframe(&mut self, plan: &RulePlan, with: &mut Lowerer<'_, Fragment>) {
        let frame = Frame::new(plan, with.capabilities, with.origins);
        for (table, chains) in frame.chains {
            for (name, chain) in chains {
                let mut shared = SharedChain::ALL.into_iter();
                let place = (table, name.as_str());
                match shared.find(|shared| shared.place() == place) {
                    Some(shared) => {
                        self.shared.insert(shared, chain);
                        self.join(shared);
                    }
                    None => {
                        let table = self.tables.tables.entry(table).or_default();
                        table.chains.insert(name, Arc::new(chain));
                    }
                }
            }
        }
    }

    pub(crate) const fn tables(&self) -> &XtTables {
        &self.tables
    }

    pub(crate) const fn comments(&self) -> EndpointComments {
        self.comments
    }

    /// Goes on to a plan that differs in service ports only; it costs what differs, but for the chains that they share.
    pub(crate) fn update(
        &mut self,
        before: &ServicePortPlans,
        plan: &RulePlan,
        with: &mut Lowerer<'_, Fragment>,
    ) {
        let mut touched = BTreeSet::new();
        let mut chains = Vec::new();
        for (old, new) in changes(before, &plan.service_ports) {
            let old = old.and_then(|id| self.fragments.remove(id));
            let new = new.map(|new| {
                let (capabilities, comments) = (with.capabilities, self.comments);
                let fragment = with.fragment(new, |plan, origins| {
                    Fragment::lower(plan, capabilities, comments, origins)
                });
                self.fragments.insert(new.id.clone(), Arc::clone(&fragment));
                fragment
            });
            self.take_out(old.as_deref(), new.as_deref());
            touched.extend(differing(old.as_deref(), new.as_deref()));
            chains.extend(new.iter().flat_map(|new| new.chains.iter().cloned()));
        }
        self.put_in(chains);
        touched.into_iter().for_each(|chain| self.join(chain));
    }

    /// Takes out the chains of a service port that are not to come back.
    fn take_out(&mut self, old: Option<&Fragment>, new: Option<&Fragment>) {
        let nat = self.tables.tables.entry(TableName::Nat).or_default();
        for (name, _) in old.into_iter().flat_map(|old| &old.chains) {
            let mut kept = new.into_iter().flat_map(|new| &new.chains);
            if !kept.any(|(kept, _)| kept == name) {
                nat.chains.remove(name);
            }
        }
    }

    /// Puts in those that are not there. In their order, many find their places more quickly.
    fn put_in(&mut self, mut chains: Vec<(ChainName, Arc<XtChain>)>) {
        let nat = self.tables.tables.entry(TableName::Nat).or_default();
        chains.sort_unstable_by_key(|(name, _)| *name);
        for (name, chain) in chains {
            let is_there = |there: &Arc<XtChain>| say_the_same(&there.rules, &chain.rules);
            if !nat.chains.get(&name).is_some_and(is_there) {
                nat.chains.insert(name, chain);
            }
        }
    }

    /// Puts a shared chain together.
    fn join(&mut self, shared: SharedChain) {
        let fragments = self.fragments.values();
        let rules = fragments.flat_map(|fragment| fragment.shared_in(shared));
        let mut rules: Vec<XtRule> = rules.cloned().collect();
        let own = &self.shared[&shared];
        rules.extend_from_slice(&own.rules);
        let chain = XtChain {
            policy: own.policy,
            rules,
        };
        let (table, name) = shared.place();
        let table = self.tables.tables.entry(table).or_default();
        table
            .chains
            .insert(ChainName::literal(name), Arc::new(chain));
    }
}

/// The shared chains in which two differ.
fn differing(old: Option<&Fragment>, new: Option<&Fragment>) -> impl Iterator<Item = SharedChain> {
    fn rules(of: Option<&Fragment>, chain: SharedChain) -> impl Iterator<Item = &XtRule> {
        of.into_iter().flat_map(move |one| one.shared_in(chain))
    }
    let all = SharedChain::ALL.into_iter();
    all.filter(move |chain| !say_the_same(rules(old, *chain), rules(new, *chain)))
}

/// Whether rules are equal and have the same origins.
fn say_the_same<'r>(
    some: impl IntoIterator<Item = &'r XtRule>,
    others: impl IntoIterator<Item = &'r XtRule>,
) -> bool {
    let said = |rule: &'r XtRule| (rule, rule.origin);
    let others = others.into_iter().map(said);
    some.into_iter().map(said).eq(others)
}
