//! The compiler: keeps what it has lowered, so that a change costs what it touches.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruleset::xt::XtTables;
use ruleset::{Family, OriginId};

use crate::iptables::{Fragment, Frame};
use crate::origin::Origins;
use crate::{ClusterView, NodeFacts, Origin, RulePlan, ServicePortPlan, plan};

/// What a kernel may lack; rules that use what is missing are refused as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `xt_nfacct`: named counters.
    pub nfacct: bool,
    /// `MASQUERADE --random-fully`.
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

/// Turns views into rules for any number of nodes.
///
/// A service port whose plan is one that was lowered before gets the very same chains, so nodes share them.
/// What is remembered never shows in the result: a compiler of any age gives what a new one gives, origin ids
/// aside.
#[derive(Clone, Debug)]
pub struct Compiler {
    capabilities: Capabilities,
    origins: Origins,
    fragments: BTreeMap<Arc<ServicePortPlan>, Arc<Fragment>>,
    /// The number of fragments at which unused ones are thrown away.
    sweep_at: usize,
}

impl Compiler {
    const SWEEP_AT_LEAST: usize = 1024;

    /// A compiler for kernels with these capabilities.
    #[must_use]
    pub fn new(capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            origins: Origins::default(),
            fragments: BTreeMap::new(),
            sweep_at: Self::SWEEP_AT_LEAST,
        }
    }

    /// The iptables rules of one node, in kube-proxy's layout (PROXY-33 … PROXY-46).
    pub fn iptables(&mut self, view: &ClusterView, facts: &NodeFacts) -> CompiledIptables {
        let tables = Family::ALL
            .into_iter()
            .map(|family| {
                let plan = plan(view, facts, family);
                (family, Arc::new(self.lower_iptables(&plan)))
            })
            .collect();
        self.sweep();
        CompiledIptables { tables }
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
        let mut frame = Frame::new(plan, self.capabilities, &mut self.origins);
        for port_plan in plan.service_ports.values() {
            let fragment = match self.fragments.get(port_plan) {
                Some(fragment) => Arc::clone(fragment),
                None => {
                    let fragment = Arc::new(Fragment::lower(port_plan, &mut self.origins));
                    self.fragments
                        .insert(Arc::clone(port_plan), Arc::clone(&fragment));
                    fragment
                }
            };
            frame.add(&fragment);
        }
        frame.finish()
    }

    /// Throws fragments away that nobody's tables hold any more. Waiting until their number has doubled keeps
    /// the cost per compile constant on average.
    fn sweep(&mut self) {
        if self.fragments.len() < self.sweep_at {
            return;
        }
        self.fragments.retain(|_, fragment| fragment.is_held());
        self.sweep_at = Self::SWEEP_AT_LEAST.max(2 * self.fragments.len());
    }
}
