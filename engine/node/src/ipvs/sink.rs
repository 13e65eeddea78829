//! A proxy's sink in mode ipvs.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy::{RuleSink, SyncKind};
use rules::{Capabilities, ClusterSizes, ClusterView, CompiledIpvs, Compiler, NodeFacts};
use ruleset::Family;
use ruleset::ipvs::{DEVICE, Drained, IpvsStep, IpvsTables, IpvsTool, IpvsTransaction};
use ruleset::xt::XtTables;

use super::IpvsTools;
use super::connections::{counts, idle_and_busy};
use super::present::Present;
use super::tools::Listing;
use crate::commit_each::commit_each;
use crate::iptables_sink::Compared;
use crate::{CommitError, IptablesSink, IptablesTools, LoadError, ToolError};

/// Programs a kernel with what a proxy commits.
///
/// A full commit reads what is there and writes what differs; a partial one writes what differs from the commit before.
/// What goes but has connections stays with the weight 0, until [`Self::drain`] finds it idle (PROXY-61).
#[derive(Clone, Debug)]
pub struct IpvsSink {
    tools: IpvsTools,
    rules: IptablesSink,
    compiler: Compiler,
    /// What the last commit was to leave: the next is compiled from it.
    compiled: Option<CompiledIpvs>,
    /// What there is of each family, unless something has failed since.
    known: BTreeMap<Family, Known>,
}

/// What there is of a family.
#[derive(Clone, Debug)]
struct Known {
    tables: IpvsTables,
    draining: Vec<Drained>,
}

/// What a load has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpvsLoaded {
    /// What was done.
    pub transaction: IpvsTransaction,
    /// Who stays for now: there are connections.
    pub draining: Vec<Drained>,
}

impl IpvsSink {
    /// A sink that runs these tools and compiles for kernels with these capabilities.
    #[must_use]
    pub fn new(tools: IpvsTools, rules: IptablesTools, capabilities: Capabilities) -> Self {
        Self {
            tools,
            rules: IptablesSink::new(rules, capabilities),
            compiler: Compiler::new(capabilities),
            compiled: None,
            known: BTreeMap::new(),
        }
    }

    /// Makes this machine ready for a proxy in this mode: its device, and IPVS' own settings.
    ///
    /// # Errors
    /// When this machine cannot do it ([`IpvsTools::check`]).
    pub fn prepare(&self) -> Result<(), ToolError> {
        self.tools.check()?;
        self.ensure_device()?;
        self.tools.set_up()
    }

    /// What makes the device of a proxy, if there is none.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn plan_device(&self) -> Result<Option<IpvsStep>, ToolError> {
        Ok(match self.tools.has_device()? {
            true => None,
            false => Some(IpvsStep {
                tool: IpvsTool::Addresses,
                text: format!("link add {DEVICE} type dummy\n"),
            }),
        })
    }

    fn ensure_device(&self) -> Result<(), ToolError> {
        match self.plan_device()? {
            None => Ok(()),
            Some(step) => self.tools.batch(&step.text),
        }
    }

    /// What has to happen to the kernel so that a proxy's tables of one family are these.
    ///
    /// # Errors
    /// When what is there cannot be read.
    pub fn plan(&self, tables: &IpvsTables) -> Result<IpvsTransaction, LoadError> {
        let Compared { present, wanted } = self.rules.compare(&tables.rules)?;
        let wanted = IpvsTables {
            rules: Arc::new(wanted),
            ..tables.clone()
        };
        difference(&self.tools.listing()?, present, &wanted)
    }

    /// Makes a proxy's tables of one family these, and says what that took. Doing it twice is doing it once.
    ///
    /// # Errors
    /// When a tool fails. Whoever is served by the old tables as by the new ones is served still.
    pub fn load(&self, tables: &IpvsTables) -> Result<IpvsLoaded, LoadError> {
        self.ensure_device()?;
        self.read_and_write(tables).map(|(_, loaded)| loaded)
    }

    /// Whether a proxy in this mode was here, by its device: whoever looks further has modules loaded to find nothing.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn was_here(&self) -> Result<bool, LoadError> {
        Ok(self.tools.has_device_of_any()?)
    }

    /// What takes away all that a proxy has written except for rules, which must not name its sets any more then. The last
    /// step is the device's, if it is there still.
    ///
    /// # Errors
    /// When what is there cannot be read.
    pub fn plan_leave(&self) -> Result<Vec<IpvsStep>, LoadError> {
        let listing = self.tools.listing_of_any()?;
        let mut steps = Vec::new();
        for family in Family::ALL {
            let nothing = IpvsTables::new(family, CompiledIpvs::empty(family).bound);
            let transaction = difference(&listing, XtTables::new(family), &nothing)?;
            steps.extend(transaction.steps());
        }
        if self.was_here()? {
            steps.push(IpvsStep {
                tool: IpvsTool::Addresses,
                text: format!("link delete {DEVICE}\n"),
            });
        }
        Ok(steps)
    }

    /// Takes away all that a proxy has written except for rules, and says whether there was something.
    ///
    /// # Errors
    /// When a tool fails.
    pub fn leave(&self) -> Result<bool, LoadError> {
        let steps = self.plan_leave()?;
        // No step is one of rules, which are a family's.
        steps
            .iter()
            .try_for_each(|step| self.take(step, Family::V4))?;
        Ok(!steps.is_empty())
    }

    /// The same for a proxy in another mode, if one in this mode [was here](Self::was_here).
    ///
    /// # Errors
    /// When a tool fails.
    pub fn leave_for_another(&self) -> Result<bool, LoadError> {
        Ok(self.was_here()? && self.leave()?)
    }

    /// Takes away whoever was to go and has no connections any more. kube-proxy looks every minute
    /// (`rsCheckDeleteInterval`).
    ///
    /// # Errors
    /// When a tool fails. Then the next commit reads what is there.
    pub fn drain(&mut self) -> Result<(), LoadError> {
        // What fails is not known any more.
        for (family, known) in std::mem::take(&mut self.known) {
            let known = self.drain_known(known)?;
            self.known.insert(family, known);
        }
        Ok(())
    }

    fn drain_known(&self, known: Known) -> Result<Known, LoadError> {
        let Known { tables, draining } = known;
        let busy = self.remove_idle(&tables, &draining)?;
        let gone = draining.iter().filter(|one| !busy.contains(one));
        let tables = gone.fold(tables, |tables, one| {
            tables.apply(&one.removal()).unwrap_or(tables)
        });
        Ok(Known {
            tables,
            draining: busy,
        })
    }

    /// Takes away whoever is idle of those that are to go; the rest is still to go.
    fn remove_idle(
        &self,
        tables: &IpvsTables,
        drained: &[Drained],
    ) -> Result<Vec<Drained>, LoadError> {
        if drained.is_empty() {
            return Ok(Vec::new());
        }
        let counts = counts(&self.tools.connections()?);
        let (idle, busy) = idle_and_busy(drained, &counts);
        self.write(&IpvsTransaction {
            family: tables.family,
            bound: tables.bound.clone(),
            commands: idle.into_iter().map(Drained::removal).collect(),
            drained: Vec::new(),
        })?;
        Ok(busy)
    }

    fn read_and_write(&self, tables: &IpvsTables) -> Result<(Known, IpvsLoaded), LoadError> {
        let transaction = self.plan(tables)?;
        self.follow(tables, transaction)
    }

    /// Does a transaction that makes a proxy's tables these, and tells what is there then.
    fn follow(
        &self,
        tables: &IpvsTables,
        transaction: IpvsTransaction,
    ) -> Result<(Known, IpvsLoaded), LoadError> {
        self.write(&transaction)?;
        let draining = self.remove_idle(tables, &transaction.drained)?;
        let known = Known {
            tables: tables.with_drained(&draining),
            draining: draining.clone(),
        };
        let loaded = IpvsLoaded {
            transaction,
            draining,
        };
        Ok((known, loaded))
    }

    fn write(&self, transaction: &IpvsTransaction) -> Result<(), LoadError> {
        let mut steps = transaction.steps().into_iter();
        steps.try_for_each(|step| self.take(&step, transaction.family))
    }

    fn take(&self, step: &IpvsStep, family: Family) -> Result<(), LoadError> {
        let IpvsStep { tool, text } = step;
        let done = match tool {
            IpvsTool::Sets => self.tools.restore_sets(text),
            IpvsTool::Rules => self.rules.restore(family, text),
            IpvsTool::Servers => self.tools.restore_servers(text),
            IpvsTool::Addresses => self.tools.batch(text),
        };
        Ok(done?)
    }

    fn commit_family(&mut self, kind: SyncKind, tables: &IpvsTables) -> Result<(), LoadError> {
        let before = self.known.remove(&tables.family);
        let (known, _) = match before.filter(|_| kind == SyncKind::Partial) {
            None => {
                self.ensure_device()?;
                self.read_and_write(tables)?
            }
            Some(before) => {
                let transaction = IpvsTransaction::between(&before.tables, tables);
                self.follow(tables, transaction)?
            }
        };
        self.known.insert(tables.family, known);
        Ok(())
    }
}

/// What has to happen to what is there, and to these rules, so that a proxy's tables are the wanted ones.
fn difference(
    listing: &Listing,
    rules: XtTables,
    wanted: &IpvsTables,
) -> Result<IpvsTransaction, LoadError> {
    let Present { tables, repairs } = Present::read(listing, wanted, rules)?;
    let mut transaction = IpvsTransaction::between(&tables, wanted);
    transaction.commands.splice(..0, repairs);
    Ok(transaction)
}

impl RuleSink for IpvsSink {
    type Error = CommitError;

    fn commit(
        &mut self,
        kind: SyncKind,
        node: &Arc<NodeFacts>,
        view: &ClusterView,
        _: ClusterSizes,
    ) -> Result<(), CommitError> {
        let earlier = self.compiled.as_ref();
        let compiled = self.compiler.ipvs_after(earlier, view, node);
        let tables = compiled.tables.clone();
        self.compiled = Some(compiled);
        commit_each(node, &tables, |tables| self.commit_family(kind, tables))
    }
}
