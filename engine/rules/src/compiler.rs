//! The compiler: keeps what it has lowered, so that a change costs what it touches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ruleset::ipvs::{IpvsTables, Scheduler, ServerKey, SetName};
use ruleset::nft::{Ident, Key, NftFamily, NftTables, TableKey};
use ruleset::xt::XtTables;
use ruleset::{Family, OriginId, Protocol};

use crate::iptables::EndpointComments;
use crate::memo::{Lowerer, Memo};
use crate::nftables::Layout;
use crate::origin::Origins;
use crate::plan::plan_after;
use crate::{
    ClusterSizes, ClusterView, NodeFacts, Origin, RulePlan, ServicePortPlans, iptables, ipvs,
    nftables, plan,
};

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

/// The tables of both families for one node. Two are equal when their tables are.
#[derive(Clone, Debug)]
pub struct CompiledIptables {
    /// `iptables` and `ip6tables`; both families are always there.
    pub tables: BTreeMap<Family, Arc<XtTables>>,
    basis: Arc<Basis<iptables::Assembly>>,
}

impl PartialEq for CompiledIptables {
    fn eq(&self, other: &Self) -> bool {
        self.tables == other.tables
    }
}

impl Eq for CompiledIptables {}

/// The tables of one node in nftables mode. Two are equal when their tables are: origins do not count.
#[derive(Clone, Debug)]
pub struct CompiledNftables {
    /// `ip kube-proxy` and `ip6 kube-proxy` (PROXY-47); both are always there.
    pub tables: Arc<NftTables>,
    basis: Arc<Basis<nftables::Assembly>>,
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
        let family = Family::ALL
            .into_iter()
            .find(|one| NftFamily::from(*one) == family)?;
        let assembly = &self.basis.half(family).assembly;
        assembly.element_origin(container, key)
    }
}

impl PartialEq for CompiledNftables {
    fn eq(&self, other: &Self) -> bool {
        self.tables == other.tables
    }
}

impl Eq for CompiledNftables {}

/// The virtual servers, sets and rules of one node in IPVS mode. Two are equal when these are.
#[derive(Clone, Debug)]
pub struct CompiledIpvs {
    /// Of both families, which are always there.
    pub tables: BTreeMap<Family, Arc<IpvsTables>>,
    basis: Arc<Basis<ipvs::Assembly>>,
}

impl CompiledIpvs {
    /// A proxy's sets, with nothing in them, and nothing else (PROXY-59).
    #[must_use]
    pub fn empty(family: Family) -> IpvsTables {
        ipvs::empty_tables(family)
    }

    /// The sets of node ports of a protocol: a virtual server at a node's own address with such a port is a proxy's.
    #[must_use]
    pub fn node_port_sets(family: Family) -> [(Protocol, SetName); 2] {
        ipvs::node_port_sets(family)
    }

    /// What a real server of a virtual one, or else the virtual server itself, was made for.
    #[must_use]
    pub fn server_origin(&self, key: &ServerKey, real: SocketAddr) -> Option<OriginId> {
        let tables = &self.tables[&Family::of(key.address.ip())];
        let server = tables.servers.get(key)?;
        let real = server.real_servers.get(&real);
        real.and_then(|real| real.origin).or(server.origin)
    }
}

impl PartialEq for CompiledIpvs {
    fn eq(&self, other: &Self) -> bool {
        self.tables == other.tables
    }
}

impl Eq for CompiledIpvs {}

/// What compiled rules were made from, so that others can be made from them.
#[derive(Clone, Debug)]
struct Basis<A> {
    view: ClusterView,
    facts: NodeFacts,
    /// By [`Family`].
    families: [Half<A>; 2],
}

/// A family's part.
#[derive(Clone, Debug)]
struct Half<A> {
    plan: RulePlan,
    assembly: A,
}

impl<A> Basis<A> {
    fn half(&self, family: Family) -> &Half<A> {
        &self.families[family as usize]
    }

    /// For a view and a node; each family's tables are put together from those of the earlier ones and the plan.
    fn after(
        earlier: Option<&Self>,
        view: &ClusterView,
        facts: &NodeFacts,
        mut assemble: impl FnMut(Option<&Half<A>>, &RulePlan) -> A,
    ) -> Arc<Self> {
        let families = Family::ALL.map(|family| {
            let plan = Self::plan(earlier, view, facts, family);
            let assembly = assemble(earlier.map(|earlier| earlier.half(family)), &plan);
            Half { plan, assembly }
        });
        Arc::new(Self {
            view: view.clone(),
            facts: facts.clone(),
            families,
        })
    }

    /// The plan for a view and a node. What was decided for the same node is gone on from.
    fn plan(
        earlier: Option<&Self>,
        view: &ClusterView,
        facts: &NodeFacts,
        family: Family,
    ) -> RulePlan {
        match earlier {
            Some(earlier) if earlier.facts == *facts => {
                plan_after(&earlier.half(family).plan, &earlier.view, view, facts)
            }
            Some(other) => plan(view, facts, family).sharing(&other.half(family).plan),
            None => plan(view, facts, family),
        }
    }
}

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
    ipvs: BTreeMap<Scheduler, Memo<ipvs::Fragment>>,
    scheduler: Scheduler,
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
            ipvs: BTreeMap::new(),
            scheduler: Scheduler::RoundRobin,
        }
    }

    /// The same with another scheduler than `rr` for virtual servers (PROXY-58).
    #[must_use]
    pub const fn with_scheduler(mut self, scheduler: Scheduler) -> Self {
        self.set_scheduler(scheduler);
        self
    }

    /// From now on, virtual servers get this scheduler: nodes may differ in it.
    pub const fn set_scheduler(&mut self, scheduler: Scheduler) {
        self.scheduler = scheduler;
    }

    /// The iptables rules of one node, in kube-proxy's layout (PROXY-33 … PROXY-46).
    pub fn iptables(&mut self, view: &ClusterView, facts: &NodeFacts) -> CompiledIptables {
        self.iptables_after(None, view, facts, ClusterSizes::of(view))
    }

    /// The same for a cluster that counts as large or not, made from earlier ones of this compiler: what does not differ is
    /// shared with them. After a later view of the same node it costs what has changed; after another node's, what differs is
    /// found by comparing their plans.
    pub fn iptables_after(
        &mut self,
        earlier: Option<&CompiledIptables>,
        view: &ClusterView,
        facts: &NodeFacts,
        sizes: ClusterSizes,
    ) -> CompiledIptables {
        let earlier = earlier.map(|earlier| &*earlier.basis);
        let basis = Basis::after(earlier, view, facts, |earlier, plan| {
            self.assemble_iptables(earlier, plan, sizes)
        });
        self.iptables.values_mut().for_each(Memo::sweep);
        let tables = Family::ALL.map(|family| {
            let tables = basis.half(family).assembly.tables();
            (family, Arc::new(tables.clone()))
        });
        CompiledIptables {
            tables: tables.into(),
            basis,
        }
    }

    /// The nftables rules of one node, in kube-proxy's layout (PROXY-47 … PROXY-56).
    pub fn nftables(&mut self, view: &ClusterView, facts: &NodeFacts) -> CompiledNftables {
        self.nftables_in(Layout::KubeProxy, None, view, facts)
    }

    /// The same, made from earlier ones of this compiler in the same layout, as [`Self::iptables_after`] does.
    pub fn nftables_after(
        &mut self,
        earlier: Option<&CompiledNftables>,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> CompiledNftables {
        self.nftables_in(Layout::KubeProxy, earlier, view, facts)
    }

    /// The nftables rules of one node, in a layout of our own: the same answers, and chains only where they must be.
    pub fn flat(&mut self, view: &ClusterView, facts: &NodeFacts) -> CompiledNftables {
        self.nftables_in(Layout::Flat, None, view, facts)
    }

    /// The same, made from earlier ones of this compiler in the same layout, as [`Self::iptables_after`] does.
    pub fn flat_after(
        &mut self,
        earlier: Option<&CompiledNftables>,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> CompiledNftables {
        self.nftables_in(Layout::Flat, earlier, view, facts)
    }

    fn nftables_in(
        &mut self,
        layout: Layout,
        earlier: Option<&CompiledNftables>,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> CompiledNftables {
        let earlier = earlier.map(|earlier| &*earlier.basis);
        let basis = Basis::after(earlier, view, facts, |earlier, plan| {
            self.assemble_nftables(layout, earlier, plan)
        });
        self.nftables.values_mut().for_each(Memo::sweep);
        let tables = Family::ALL.map(|family| {
            let key = TableKey {
                family: family.into(),
                name: CompiledNftables::table_name(),
            };
            (key, basis.half(family).assembly.table().clone())
        });
        CompiledNftables {
            tables: Arc::new(NftTables {
                tables: tables.into(),
            }),
            basis,
        }
    }

    /// The virtual servers, sets and rules of one node, in kube-proxy's layout (PROXY-57 … PROXY-61).
    pub fn ipvs(&mut self, view: &ClusterView, facts: &NodeFacts) -> CompiledIpvs {
        self.ipvs_after(None, view, facts)
    }

    /// The same, made from earlier ones of this compiler, as [`Self::iptables_after`] does.
    pub fn ipvs_after(
        &mut self,
        earlier: Option<&CompiledIpvs>,
        view: &ClusterView,
        facts: &NodeFacts,
    ) -> CompiledIpvs {
        let earlier = earlier.map(|earlier| &*earlier.basis);
        let basis = Basis::after(earlier, view, facts, |earlier, plan| {
            self.assemble_ipvs(earlier, plan, facts)
        });
        self.ipvs.values_mut().for_each(Memo::sweep);
        let tables = Family::ALL.map(|family| {
            let tables = basis.half(family).assembly.tables();
            (family, Arc::new(tables.clone()))
        });
        CompiledIpvs {
            tables: tables.into(),
            basis,
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

    fn assemble_iptables(
        &mut self,
        earlier: Option<&Half<iptables::Assembly>>,
        plan: &RulePlan,
        sizes: ClusterSizes,
    ) -> iptables::Assembly {
        let comments = match sizes.is_large(plan.family) {
            true => EndpointComments::Omitted,
            false => EndpointComments::Written,
        };
        let mut lowerer = Lowerer {
            memo: self.iptables.entry(comments).or_default(),
            origins: &mut self.origins,
            capabilities: self.capabilities,
        };
        let earlier = earlier.filter(|earlier| earlier.assembly.comments() == comments);
        let no_ports = ServicePortPlans::new();
        let (mut assembly, before) = match earlier {
            Some(earlier) => (earlier.assembly.clone(), &earlier.plan.service_ports),
            None => (iptables::Assembly::new(plan.family, comments), &no_ports),
        };
        if !earlier.is_some_and(|earlier| earlier.plan.has_frame_of(plan)) {
            assembly.reframe(plan, &mut lowerer);
        }
        assembly.update(before, plan, &mut lowerer);
        assembly
    }

    fn assemble_ipvs(
        &mut self,
        earlier: Option<&Half<ipvs::Assembly>>,
        plan: &RulePlan,
        facts: &NodeFacts,
    ) -> ipvs::Assembly {
        let node = ipvs::Node::of(facts, plan, self.scheduler);
        let mut lowerer = Lowerer {
            memo: self.ipvs.entry(self.scheduler).or_default(),
            origins: &mut self.origins,
            capabilities: self.capabilities,
        };
        let earlier = earlier.filter(|earlier| *earlier.assembly.node() == node);
        let no_ports = ServicePortPlans::new();
        let (mut assembly, before) = match earlier {
            Some(earlier) => (earlier.assembly.clone(), &earlier.plan.service_ports),
            None => (ipvs::Assembly::new(plan.family, node), &no_ports),
        };
        let is_reframed = !earlier.is_some_and(|earlier| earlier.plan.has_frame_of(plan));
        assembly.update(before, plan, is_reframed, &mut lowerer);
        assembly
    }

    fn assemble_nftables(
        &mut self,
        layout: Layout,
        earlier: Option<&Half<nftables::Assembly>>,
        plan: &RulePlan,
    ) -> nftables::Assembly {
        let memo = self.nftables.entry((layout, plan.masquerade_mark));
        let mut lowerer = Lowerer {
            memo: memo.or_default(),
            origins: &mut self.origins,
            capabilities: self.capabilities,
        };
        let earlier = earlier.filter(|earlier| {
            let (is, was) = (plan.masquerade_mark, earlier.plan.masquerade_mark);
            is == was && earlier.assembly.layout() == layout
        });
        let no_ports = ServicePortPlans::new();
        let (mut assembly, before) = match earlier {
            Some(earlier) => (earlier.assembly.clone(), &earlier.plan.service_ports),
            None => (nftables::Assembly::new(plan.family, layout), &no_ports),
        };
        if !earlier.is_some_and(|earlier| earlier.plan.has_frame_of(plan)) {
            assembly.reframe(plan, &mut lowerer);
        }
        assembly.update(before, plan, &mut lowerer);
        assembly
    }
}
