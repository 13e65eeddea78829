//! What `switchboard node` does in mode ipvs, and does away with in the others.

use control::NodeRules;
use miette::Report;
use node::{IpvsLoaded, IpvsTools, LoadError};
use rules::{CompiledIpvs, NodeFacts};
use ruleset::Family;
use ruleset::ipvs::{IpvsStep, IpvsTool};

use super::{Kernel, load_each, refused, tell_steps};

impl Kernel {
    /// Programs the kernel, if this machine can do it at all.
    pub(super) fn load_ipvs(
        &self,
        compiled: &CompiledIpvs,
        facts: &NodeFacts,
        text: &mut String,
    ) -> Result<(), Report> {
        let prepared = self.ipvs.prepare();
        prepared.map_err(|error| refused(&error.into()))?;
        load_each(&compiled.tables, facts, text, |tables| {
            let IpvsLoaded {
                transaction,
                draining,
            } = self.ipvs.load(tables)?;
            let steps = transaction.steps().len();
            let told = tell_steps(tables.family, transaction.commands.len(), steps);
            Ok(match draining.len() {
                0 => told,
                some => format!(
                    "{told}{}: {some} real servers that are to go have connections: they get no new ones, and go once a \
                     later run finds them idle\n",
                    tables.family
                ),
            })
        })
    }

    /// What [`Self::load_ipvs`] would have the tools do; on a machine that cannot do it, what one would load that has
    /// nothing yet.
    pub(super) fn show_ipvs(&self, rules: &NodeRules) -> Result<String, Report> {
        let NodeRules::Ipvs(compiled) = rules else {
            return Ok(String::new());
        };
        match IpvsTools::new().check() {
            Ok(()) => {}
            Err(error) => {
                let error = LoadError::from(error);
                if !error.is_missing() {
                    return Err(refused(&error));
                }
                let scripts: String = Family::ALL.map(|family| rules.script(family)).concat();
                return Ok(format!(
                    "# {error}; a machine that has it would load:\n{}{scripts}",
                    show_settings()
                ));
            }
        }
        let device = self.ipvs.plan_device();
        let device = device.map_err(|error| refused(&error.into()))?;
        let mut text = device.map_or_else(String::new, |step| self.show_step(&step, Family::V4));
        text += &show_settings();
        for tables in compiled.tables.values() {
            match self.ipvs.plan(tables) {
                Err(error) if error.is_missing() => text += &format!("# {error}\n"),
                planned => {
                    let steps = planned.map_err(|error| refused(&error))?.steps();
                    let shown = steps.iter().map(|step| self.show_step(step, tables.family));
                    text.extend(shown);
                }
            }
        }
        Ok(text)
    }

    fn show_step(&self, step: &IpvsStep, family: Family) -> String {
        let program = match step.tool {
            IpvsTool::Sets => "ipset -exist restore".to_owned(),
            IpvsTool::Rules => format!("{} --noflush", self.tools.restorer(family)),
            IpvsTool::Servers => "ipvsadm -R".to_owned(),
            IpvsTool::Addresses => "ip -batch -".to_owned(),
        };
        format!("# for {program}\n{}", step.text)
    }

    /// Takes away what a proxy has written, wherever it is.
    pub(super) fn leave_ipvs(&self) -> Result<String, Report> {
        tell_left(self.ipvs.leave())
    }

    /// The same when a proxy in another mode takes over.
    pub(super) fn succeed_ipvs(&self) -> Result<String, Report> {
        tell_left(self.ipvs.leave_for_another())
    }

    /// What [`Self::succeed_ipvs`] would have the tools do.
    pub(super) fn show_succeed_ipvs(&self) -> Result<String, Report> {
        if !self.ipvs.was_here().map_err(|error| refused(&error))? {
            return Ok(String::new());
        }
        let steps = self.ipvs.plan_leave().map_err(|error| refused(&error))?;
        let shown = steps.iter().map(|step| self.show_step(step, Family::V4));
        Ok(shown.collect())
    }
}

fn show_settings() -> String {
    format!("# sysctl -w {}\n", IpvsTools::SETTINGS.join(" "))
}

fn tell_left(left: Result<bool, LoadError>) -> Result<String, Report> {
    let left = left.map_err(|error| refused(&error))?;
    Ok(match left {
        true => "ipvs: what a proxy had there is gone\n".to_owned(),
        false => String::new(),
    })
}
