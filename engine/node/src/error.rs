//! What the kernel tools say when they fail, understood once.
//!
//! The tools tell most of it in words only: their exit codes are the same for a missing right and a missing
//! match. The words are those of iptables 1.8.9, both variants, and of `ip netns exec`; anything else is
//! [`ToolError::Other`], never a guess.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;

use rules::NodeFacts;
use ruleset::Family;

use crate::NetlinkError;

/// Why a kernel tool did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// It is not installed.
    #[error("{tool} is not installed")]
    NotFound {
        /// The program.
        tool: String,
    },
    /// Programming the kernel takes rights that this process does not have.
    #[error("{tool} is not allowed to program this kernel: {message}")]
    Permission {
        /// The program.
        tool: String,
        /// What it said.
        message: String,
    },
    /// The kernel, or this version of the tool, lacks a table, match, target or option.
    #[error("{tool} was asked for what it or this kernel does not have: {message}")]
    Unsupported {
        /// The program.
        tool: String,
        /// What it said.
        message: String,
    },
    /// Anything else, such as text that it does not take.
    #[error("{tool} failed: {message}")]
    Other {
        /// The program.
        tool: String,
        /// What it said.
        message: String,
    },
}

/// Why a kernel does not have the rules it should have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A tool did not do what it was asked.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The kernel did not do what it was asked without a tool.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// What a tool says is there cannot be understood.
    #[error("{tool} printed what is not understood: {error}")]
    Unreadable {
        /// The program.
        tool: String,
        /// What is wrong with it.
        error: String,
    },
}

impl LoadError {
    /// Whether there is no such tool, or the kernel has no such part: nothing can have been left there, either.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Tool(error) if error.is_missing())
    }

    /// Whether a node can do without what was refused: a family that it lacks, and has no address of.
    #[must_use]
    pub fn can_be_left_out(&self, node: &NodeFacts, family: Family) -> bool {
        self.is_missing() && node.primary_address(family).is_none()
    }
}

/// Why what a proxy has committed is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rules of node {node} not loaded")]
pub struct CommitError {
    /// The node.
    pub node: Arc<str>,
    /// What went wrong.
    pub source: LoadError,
}

const NOT_ALLOWED: &[&str] = &[
    "Permission denied",
    "Operation not permitted",
    "you must be root",
];

/// A chain that does not exist is reported by the legacy variant as a target that could not be loaded, so it
/// ends up here as well: tables that come from the compiler have no such jumps.
const NOT_SUPPORTED: &[&str] = &[
    "Are you sure that IP Virtual Server",
    "Can't open socket to ipset",
    "Cannot open session to kernel",
    "Couldn't load match",
    "Couldn't load target",
    "Scheduler or persistence engine not found",
    "Unknown device type",
    "cannot stat /proc/sys",
    "do you need to insmod",
    "is not loaded in",
    "missing kernel module",
    "not supported",
    "table name",
    "unable to initialize table",
    "unknown option",
    "unrecognized option",
];

/// What can be done about a program that is not installed, and about a kernel that lacks what it is for.
const REMEDIES: [(&str, &str, &str); 4] = [
    (
        "ipvsadm",
        "install the package ipvsadm, or choose another --mode: iptables, nftables or flat",
        "load the kernel modules ip_vs and ip_vs_rr (or that of the scheduler) with modprobe, or choose another --mode: \
         iptables, nftables or flat",
    ),
    (
        "ipset",
        "install the package ipset, or choose another --mode: iptables, nftables or flat",
        "load the kernel modules ip_set and xt_set with modprobe, or choose another --mode: iptables, nftables or flat",
    ),
    (
        "ip",
        "install the package iproute2, or choose another --mode: iptables, nftables or flat",
        "load the kernel module dummy with modprobe, or choose another --mode: iptables, nftables or flat",
    ),
    (
        "sysctl",
        "install the package procps, or choose another --mode: iptables, nftables or flat",
        "use a kernel whose module ip_vs can do connection tracking (CONFIG_IP_VS_NFCT), or choose another --mode: \
         iptables, nftables or flat",
    ),
];

impl ToolError {
    /// Whether there is no such tool, or the kernel has no such part: nothing can have been left there, either.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Unsupported { .. })
    }

    /// What somebody can do about it, if the program is one that mode ipvs needs.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        let of = |tool: &str| REMEDIES.iter().find(|(known, ..)| *known == tool);
        match self {
            Self::NotFound { tool } => of(tool).map(|remedy| remedy.1),
            Self::Unsupported { tool, .. } => of(tool).map(|remedy| remedy.2),
            Self::Permission { .. } | Self::Other { .. } => None,
        }
    }

    /// The tool could not be started or talked to.
    pub(crate) fn from_io(tool: &str, error: &io::Error) -> Self {
        let tool = tool.to_owned();
        let message = error.to_string();
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { tool },
            io::ErrorKind::PermissionDenied => Self::Permission { tool, message },
            _ => Self::Other { tool, message },
        }
    }

    /// The tool ended with a failure.
    pub(crate) fn from_exit(tool: &str, status: ExitStatus, stderr: &[u8]) -> Self {
        let said = String::from_utf8_lossy(stderr);
        let lines: Vec<&str> = said
            .lines()
            .map(str::trim)
            .filter(|line| is_telling(line))
            .collect();
        let message = if lines.is_empty() {
            status.to_string()
        } else {
            lines.join("; ")
        };
        Self::classify(tool, message)
    }

    fn classify(tool: &str, message: String) -> Self {
        let tool = tool.to_owned();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        // `ip netns exec` starts the tool in its place.
        if message.contains("exec of ") && message.contains("No such file or directory") {
            Self::NotFound { tool }
        } else if says(NOT_ALLOWED) {
            Self::Permission { tool, message }
        } else if says(NOT_SUPPORTED) {
            Self::Unsupported { tool, message }
        } else {
            Self::Other { tool, message }
        }
    }
}

/// Leaves out the invitation to read the manual.
fn is_telling(line: &str) -> bool {
    !line.is_empty() && !line.starts_with("Try `")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn kind(stderr: &str) -> &'static str {
        match ToolError::from_exit("tool", ExitStatus::from_raw(4 << 8), stderr.as_bytes()) {
            ToolError::NotFound { .. } => "not found",
            ToolError::Permission { .. } => "permission",
            ToolError::Unsupported { .. } => "unsupported",
            ToolError::Other { .. } => "other",
        }
    }

    #[test]
    fn recorded_words() {
        for (stderr, expected) in [
            (
                "exec of \"iptables-save\" failed: No such file or directory",
                "not found",
            ),
            (
                "iptables-nft-restore v1.8.9 (nf_tables): Could not fetch rule set generation id: \
                 Permission denied (you must be root)",
                "permission",
            ),
            (
                "Fatal: can't open lock file /run/xtables.lock: Permission denied",
                "permission",
            ),
            (
                "mount --make-shared /run/netns failed: Operation not permitted",
                "permission",
            ),
            (
                "iptables-nft-restore v1.8.9 (nf_tables): Couldn't load match `nope':No such file or \
                 directory\n\nError occurred at line: 2\nTry `iptables-nft-restore -h' for more information.",
                "unsupported",
            ),
            (
                "iptables-restore v1.8.9 (legacy): unknown option \"--nope\"",
                "unsupported",
            ),
            (
                "iptables-nft-restore: line 1 table name 'foo' invalid",
                "unsupported",
            ),
            (
                "iptables-restore: unable to initialize table 'foo'",
                "unsupported",
            ),
            (
                "Can't initialize ipvs: Protocol not available\n\
                 Are you sure that IP Virtual Server is built in the kernel or as module?",
                "unsupported",
            ),
            (
                "Can't initialize ipvs: Permission denied (you must be root)\n\
                 Are you sure that IP Virtual Server is built in the kernel or as module?",
                "permission",
            ),
            (
                "ipset v7.17: Kernel error received: Operation not permitted",
                "permission",
            ),
            ("Error: Unknown device type.", "unsupported"),
            (
                "ipset v7.17: Error in line 1: Set cannot be destroyed: it is in use by a kernel component",
                "other",
            ),
            (
                "line 6: RULE_APPEND failed (Too many links): rule in chain PREROUTING",
                "other",
            ),
            (
                "Cannot open network namespace \"gone\": No such file or directory",
                "other",
            ),
            ("iptables-restore: line 4 failed", "other"),
            ("", "other"),
        ] {
            assert_eq!(kind(stderr), expected, "{stderr}");
        }
    }

    #[test]
    fn a_silent_failure_tells_its_status() {
        let error = ToolError::from_exit("tool", ExitStatus::from_raw(4 << 8), b"\n");
        assert_eq!(error.to_string(), "tool failed: exit status: 4");
    }

    #[test]
    fn what_it_said_is_kept_without_the_invitation() {
        let stderr = b"iptables: line 4 failed\nTry `iptables -h' for more information.\n";
        let error = ToolError::from_exit("iptables", ExitStatus::from_raw(1 << 8), stderr);
        assert_eq!(
            error.to_string(),
            "iptables failed: iptables: line 4 failed"
        );
    }
}
