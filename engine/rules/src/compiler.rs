//! The compiler: keeps what it has lowered, so that a change costs what it touches.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruleset::nft::{Ident, Key, NftFamily, NftTables, TableKey};
use ruleset::xt::XtTables;
use ruleset::{Family, OriginId};

use crate::iptables::EndpointComments;
use crate::memo::Memo;
use crate::nftables::Layout;
use crate::origin::Origins;
use crate::{ClusterView, NodeFacts, Origin, RulePlan, iptables, nftables, plan};

/// What a kernel may lack; rules that use what is missing are refused as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `xt_nfacct`: named counters.
    pub nfacct: bool,
    /// `MASQUERADE --random-fully`, `masquerade fully-random`.
    pub random_fully: bool,
}

impl Capabilities {
    /// Everything there is, as the recorded kernels had it.
    pub const ALL: Self = Self {
        nfacct: true,
        random_fully: true,
    };
}

/// The tables of both families for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledIptables {
    /// `iptables` and `ip6tables`; both families are always there.
    pub tables: BTreeMap<Family, Arc<XtTables>>,
}

/// The tables of one node in nftables mode. Two are equal when their tables are: origins do not count.
#[derive(Clone, Debug)]
pub struct CompiledNftables {
    /// `ip kube-proxy` and `ip6 kube-proxy` (PROXY-47); both are always there.
    pub tables: Arc<NftTables>,
    elements: Arc<BTreeMap<(NftFamily, Ident), BTreeMap<Key, OriginId>>>,
}

impl CompiledNftables {
    /// The name of both tables.
    #[must_use]
    pub fn table_name() -> Ident {
        Ident::literal("kube-proxy")
    }

    /// What an element of a named set or map was made for; `None` for an element that a packet made, and for
    /// sets and maps of others. Anonymous maps are resolved through their rule's origin ([`Origin::choice`]).
    #[must_use]
    pub fn element_origin(
        &self,
        family: NftFamily,
        container: &Ident,
        key: &Key,
    ) -> Option<OriginId> {
        let elements = self.elements.get(&(family, container.clone()))?;
        elements.get(key).copied()
    }
}

impl PartialEq for CompiledNftables {
    fn eq(&self, other: &Self) -> bool {
        self.tables == other.tables
    }
}

impl Eq for CompiledNftables {}

/// Turns views into rules for any number of nodes.
///
/// A service port whose plan is one that was lowered before gets the very same chains, so nodes share them.
/// What is remembered never shows in the result: a compiler of any age gives what a new one gives, origin ids
/// aside.
#[derive(Clone, Debug)]
pub struct Compiler {
    capabilities: Capabilities,
    origins: Origins,
    /// By whether endpoints have comments: a cluster is large or not, and seldom becomes the other.
    iptables: BTreeMap<EndpointComments, Memo<iptables::Fragment>>,
    /// By layout, and by mark: nft rules hold it themselves.
    nftables: BTreeMap<(Layout, u32), Memo<nftables::Fragment>>,
}

impl Compiler {
    /// A compiler for kernels with these capabilities.
    #[must_use]
    pub fn new(capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            origins: Origins::default(),
            iptables: BTreeMap::new(),
            nftables: BTreeMap::new(),
        }
    }

    /// The iptables rules of one node, in kube-proxy's layout (PROXY-33 … PROXY-46).
    pub fn iptables(&mut self, view: &ClusterView, facts: &NodeFacts) -> CompiledIptables {
        let tables = Family::ALL.map(|family| {
            let tables = self.lower_iptables(&plan(view, facts, family));
            (family, Arc::new(tables))
        });
        for memo in self.iptables.values_mut() {
            memo.sweep(iptables::Fragment::is_held);
        }
        CompiledIptables {
            tables: tables.into(),
        }
    }

    /// The nftables rules of one node, in kube-proxy's layout (PROXY-47 … PROXY-56).
    pub fn nftables(&mut self, view: &ClusterView, facts: &NodeFacts) -> CompiledNftables {
        self.nftables_in(Layout::KubeProxy, view, facts)
    }

    /// The nftables rules of one node, in a layout of our own: the same answers, and chains only where they must be.
    pub fn flat(&mut self, view: &ClusterView, facts: &NodeFacts) -> CompiledNftables {
        self.nftables_in(Layout::Flat, view, facts)
    }

    fn nftables_in(
        &mut self,
        layout: Layout,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> CompiledNftables {
        let mut tables = NftTables::new();
        let mut elements = BTreeMap::new();
        for family in Family::ALL {
            let (table, origins) = self.lower_nftables(&plan(view, facts, family), layout);
            let family = NftFamily::from(family);
            let name = CompiledNftables::table_name();
            tables.tables.insert(TableKey { family, name }, table);
            let origins = origins.into_iter();
            elements.extend(origins.map(|(container, of)| ((family, container.ident()), of)));
        }
        for memo in self.nftables.values_mut() {
            memo.sweep(nftables::Fragment::is_held);
        }
        CompiledNftables {
            tables: Arc::new(tables),
            elements: Arc::new(elements),
        }
    }

    /// What a rule of this compiler was made for.
    ///
    /// # Panics
    /// When the id comes from another compiler.
    #[must_use]
    pub fn origin(&self, id: OriginId) -> &Origin {
        self.origins
            .get(id)
            .expect("origin ids are resolved by the compiler that gave them")
    }

    fn lower_iptables(&mut self, plan: &RulePlan) -> XtTables {
        let capabilities = self.capabilities;
        let comments = match plan.large_cluster {
            true => EndpointComments::Omitted,
            false => EndpointComments::Written,
        };
        let mut frame = iptables::Frame::new(plan, capabilities, &mut self.origins);
        let memo = self.iptables.entry(comments).or_default();
        for port_plan in plan.service_ports.values() {
            let fragment = memo.get(port_plan, |plan| {
                iptables::Fragment::lower(plan, capabilities, comments, &mut self.origins)
            });
            frame.add(&fragment);
        }
        frame.finish()
    }

    fn lower_nftables(
        &mut self,
        plan: &RulePlan,
        layout: Layout,
    ) -> (ruleset::nft::NftTable, nftables::ElementOrigins) {
        let mark = plan.masquerade_mark;
        let mut frame = nftables::Frame::new(plan, layout, self.capabilities, &mut self.origins);
        let memo = self.nftables.entry((layout, mark)).or_default();
        for port_plan in plan.service_ports.values() {
            let fragment = memo.get(port_plan, |plan| {
                nftables::Fragment::lower(plan, layout, mark, &mut self.origins)
            });
            frame.add(&fragment);
        }
        frame.finish()
    }
}

/// Whether tables somewhere still hold one of a fragment's chains. A fragment without chains is never held: it
/// costs next to nothing to make again.
pub(crate) fn any_held<N, C>(chains: &[(N, Arc<C>)]) -> bool {
    chains.iter().any(|(_, chain)| Arc::strong_count(chain) > 1)
}
