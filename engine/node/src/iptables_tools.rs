//! Running `iptables-restore`, `iptables-save` and their IPv6 twins.

use std::sync::Arc;

use ruleset::Family;
use ruleset::xt::TableName;

use crate::machine::Machine;
use crate::{Programs, ToolError};

/// The arguments of kube-proxy's restore (PROXY-46). The wait is for the legacy variant's lock.
const RESTORE: &[&str] = &["--noflush", "--counters", "--wait=5"];

/// Which of the two programs that call themselves iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// The one that the system has chosen: `iptables-restore`.
    Default,
    /// The one on top of nf_tables: `iptables-nft-restore`.
    Nft,
    /// The one on top of ip_tables: `iptables-legacy-restore`.
    Legacy,
}

impl Variant {
    const fn infix(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Nft => "-nft",
            Self::Legacy => "-legacy",
        }
    }
}

/// The programs of one variant, run in this process's network namespace or in a named one.
#[derive(Clone, Debug)]
pub struct IptablesTools {
    variant: Variant,
    machine: Machine,
}

impl IptablesTools {
    /// The programs, found through `PATH`.
    #[must_use]
    pub fn new(variant: Variant) -> Self {
        Self {
            variant,
            machine: Machine::default(),
        }
    }

    /// The same, run by `ip netns exec` in the namespace of that name.
    #[must_use]
    pub fn in_netns(self, name: &str) -> Self {
        Self {
            machine: Machine::netns(name),
            ..self
        }
    }

    /// The same, run by somebody else.
    #[must_use]
    pub fn by(self, programs: Arc<dyn Programs>) -> Self {
        Self {
            machine: Machine::by(programs),
            ..self
        }
    }

    /// Has a restore text tested, without any change.
    ///
    /// The nft variant tests the grammar and that its own extensions exist, the legacy one also that chains
    /// do; only a real restore hears the kernel's opinion.
    ///
    /// # Errors
    /// When the tool does not take the text, or cannot be run.
    pub fn check(&self, family: Family, text: &str) -> Result<(), ToolError> {
        let arguments = [RESTORE, &["--test"]].concat();
        self.machine
            .run(&self.program(family, "restore"), &arguments, text)
            .map(drop)
    }

    /// Restores a text over what is there: chains that it declares are created or emptied, all others stay.
    /// Atomic per table.
    ///
    /// # Errors
    /// When the tool or the kernel does not take it. Tables before the refused one stay restored.
    pub fn restore(&self, family: Family, text: &str) -> Result<(), ToolError> {
        self.machine
            .run(&self.program(family, "restore"), RESTORE, text)
            .map(drop)
    }

    /// The present rules of a table, as `iptables-save` prints them.
    ///
    /// # Errors
    /// When the tool cannot be run, or the kernel does not have the table.
    pub fn save(&self, family: Family, table: TableName) -> Result<String, ToolError> {
        self.machine
            .run(&self.program(family, "save"), &["-t", table.as_str()], "")
    }

    /// Whether these programs can write `MASQUERADE --random-fully`.
    ///
    /// # Errors
    /// When they cannot be run, or may not be.
    pub fn has_random_fully(&self) -> Result<bool, ToolError> {
        const PROBE: &str = "*nat\n:PROBE - [0:0]\n-A PROBE -j MASQUERADE --random-fully\nCOMMIT\n";
        match self.check(Family::V4, PROBE) {
            Ok(()) => Ok(true),
            Err(ToolError::Unsupported { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the program is called that restores a family's rules.
    #[must_use]
    pub fn restorer(&self, family: Family) -> String {
        self.program(family, "restore")
    }

    pub(crate) fn program(&self, family: Family, what: &str) -> String {
        let base = match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        format!("{base}{}-{what}", self.variant.infix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_by_family_and_variant() {
        for (variant, family, expected) in [
            (Variant::Default, Family::V4, "iptables-restore"),
            (Variant::Nft, Family::V4, "iptables-nft-restore"),
            (Variant::Legacy, Family::V6, "ip6tables-legacy-restore"),
        ] {
            assert_eq!(
                IptablesTools::new(variant).program(family, "restore"),
                expected
            );
        }
    }
}
