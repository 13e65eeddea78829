//! Running `nft`.

use ruleset::nft::TableKey;

use crate::ToolError;
use crate::machine::Machine;

const NFT: &str = "nft";

/// The program, run in this process's network namespace or in a named one.
#[derive(Clone, Debug, Default)]
pub struct NftTools {
    machine: Machine,
}

impl NftTools {
    /// The program, found through `PATH`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, run by `ip netns exec` in the namespace of that name.
    #[must_use]
    pub fn in_netns(name: &str) -> Self {
        Self {
            machine: Machine::netns(name),
        }
    }

    /// The named namespace; `None` is this process's.
    pub(crate) fn netns(&self) -> Option<&str> {
        self.machine.netns_name()
    }

    /// What `nft list table` prints of a table; `None` when there is none.
    ///
    /// # Errors
    /// When the tool cannot be run, or may not be.
    pub fn list(&self, table: &TableKey) -> Result<Option<String>, ToolError> {
        let wanted = format!("table {table}");
        let tables = self.machine.run(NFT, &["list", "tables"], "")?;
        if !tables.lines().any(|line| line == wanted) {
            return Ok(None);
        }
        let (family, name) = (table.family.to_string(), table.name.as_str());
        let arguments = ["list", "table", family.as_str(), name];
        self.machine.run(NFT, &arguments, "").map(Some)
    }

    /// Has a script tested, without any change.
    ///
    /// # Errors
    /// When the tool does not take it, or cannot be run.
    pub fn check(&self, script: &str) -> Result<(), ToolError> {
        self.machine.run(NFT, &["-c", "-f", "-"], script).map(drop)
    }

    /// Runs a script, all of it or nothing.
    ///
    /// # Errors
    /// When the tool or the kernel does not take it.
    pub fn load(&self, script: &str) -> Result<(), ToolError> {
        self.machine.run(NFT, &["-f", "-"], script).map(drop)
    }
}
