//! Running `iptables-restore`, `iptables-save` and their IPv6 twins.
//!
//! The text goes in by standard input and what comes out is read whole. Arguments are fixed words; nothing
//! passes through a shell.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use ruleset::Family;
use ruleset::xt::TableName;

use crate::ToolError;

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
    netns: Option<String>,
}

impl IptablesTools {
    /// The programs, found through `PATH`.
    #[must_use]
    pub const fn new(variant: Variant) -> Self {
        Self {
            variant,
            netns: None,
        }
    }

    /// The same, run by `ip netns exec` in the namespace of that name.
    #[must_use]
    pub fn in_netns(self, name: &str) -> Self {
        Self {
            netns: Some(name.to_owned()),
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
        self.run(&self.program(family, "restore"), &arguments, text)
            .map(drop)
    }

    /// Restores a text over what is there: chains that it declares are created or emptied, all others stay.
    /// Atomic per table.
    ///
    /// # Errors
    /// When the tool or the kernel does not take it. Tables before the refused one stay restored.
    pub fn restore(&self, family: Family, text: &str) -> Result<(), ToolError> {
        self.run(&self.program(family, "restore"), RESTORE, text)
            .map(drop)
    }

    /// The present rules of a table, as `iptables-save` prints them.
    ///
    /// # Errors
    /// When the tool cannot be run, or the kernel does not have the table.
    pub fn save(&self, family: Family, table: TableName) -> Result<String, ToolError> {
        self.run(&self.program(family, "save"), &["-t", table.as_str()], "")
    }

    fn program(&self, family: Family, what: &str) -> String {
        let base = match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        format!("{base}{}-{what}", self.variant.infix())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = match &self.netns {
            None => Command::new(program),
            Some(netns) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", netns, program]);
                command
            }
        };
        // Failures are told by their words, so these must not be translated.
        command.args(arguments).env("LC_ALL", "C");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<String, ToolError> {
        let output = feed(self.command(program, arguments), input)
            .map_err(|error| ToolError::from_io(program, &error))?;
        if !output.status.success() {
            return Err(ToolError::from_exit(program, output.status, &output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The tools print nothing before they have read all, or have given up: writing first cannot block for ever.
fn feed(mut command: Command, input: &str) -> io::Result<Output> {
    let mut child = command.spawn()?;
    let mut stdin = child
        .stdin
        .take()
        .expect("standard input was asked to be a pipe");
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    // A tool that gave up early says why itself.
    if output.status.success() {
        written?;
    }
    Ok(output)
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

    #[test]
    fn a_program_that_is_missing_is_named() {
        let tools = IptablesTools::new(Variant::Default);
        let error = tools.run("switchboard-no-such-tool", &[], "").unwrap_err();
        assert_eq!(
            error,
            ToolError::NotFound {
                tool: "switchboard-no-such-tool".to_owned()
            }
        );
    }

    #[test]
    fn input_that_nobody_reads_is_no_failure() {
        let tools = IptablesTools::new(Variant::Default);
        let unread = "x".repeat(1 << 20);
        let error = tools.run("false", &[], &unread).unwrap_err();
        assert_eq!(error.to_string(), "false failed: exit status: 1");
    }
}
