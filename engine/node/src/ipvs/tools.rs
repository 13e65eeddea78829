//! Running `ipvsadm`, `ipset`, `ip` and `sysctl`.

use std::net::IpAddr;
use std::sync::Arc;

use ruleset::ipvs::DEVICE;

use super::addresses::Addresses;
use crate::machine::Machine;
use crate::{Programs, ToolError};

const IPVSADM: &str = "ipvsadm";
const IPSET: &str = "ipset";
const IP: &str = "ip";

/// What the programs say is there, whoever's.
#[derive(Debug)]
pub(super) struct Listing {
    /// The addresses of all devices.
    pub(super) addresses: Addresses,
    /// Every set, as `ipset restore` takes it.
    pub(super) sets: String,
    /// Every virtual server, as `ipvsadm -R` takes it.
    pub(super) servers: String,
}

/// Nothing, of what this machine does not have.
fn or_nothing<T: Default>(answer: Result<T, ToolError>) -> Result<T, ToolError> {
    match answer {
        Err(error) if error.is_missing() => Ok(T::default()),
        answer => answer,
    }
}

/// The programs, run in this process's network namespace, in a named one, or elsewhere.
#[derive(Clone, Debug, Default)]
pub struct IpvsTools {
    machine: Machine,
}

impl IpvsTools {
    /// Settings that IPVS has for itself (PROXY-60), as `sysctl -w` takes them. Without the first, no connection to a virtual
    /// server gets the node's address as source; by the others, whoever has lost its real server is not sent there any more.
    pub const SETTINGS: [&str; 3] = [
        "net.ipv4.vs.conntrack=1",
        "net.ipv4.vs.expire_nodest_conn=1",
        "net.ipv4.vs.expire_quiescent_template=1",
    ];

    /// The programs, found through `PATH`.
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

    /// The same, run by somebody else.
    #[must_use]
    pub fn by(programs: Arc<dyn Programs>) -> Self {
        Self {
            machine: Machine::by(programs),
        }
    }

    /// Whether this machine can do it at all. `ipvsadm` loads the kernel's module itself, where there is one.
    ///
    /// # Errors
    /// When a program is not installed, may not be run, or says that the kernel cannot do it ([`ToolError::remedy`]).
    pub fn check(&self) -> Result<(), ToolError> {
        self.servers()?;
        self.machine.run(IPSET, &["list", "-name"], "")?;
        let setting = "net.ipv4.vs.conntrack";
        self.machine.run("sysctl", &["-n", setting], "")?;
        self.has_device().map(drop)
    }

    /// The node's addresses on all devices but the proxy's, save for loopback and link-local ones: kube-proxy takes them all
    /// for the node's own in this mode. A machine without `ip` tells none.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn own_addresses(&self) -> Result<Vec<IpAddr>, ToolError> {
        let addresses = or_nothing(self.addresses())?;
        let own = addresses.own.into_iter().filter(|address| match address {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        });
        Ok(own.collect())
    }

    /// Makes IPVS' own settings what a proxy needs.
    pub(super) fn set_up(&self) -> Result<(), ToolError> {
        let arguments = [&["-q", "-w"], &Self::SETTINGS[..]].concat();
        self.machine.run("sysctl", &arguments, "").map(drop)
    }

    /// What is there.
    pub(super) fn listing(&self) -> Result<Listing, ToolError> {
        Ok(Listing {
            addresses: self.addresses()?,
            sets: self.sets()?,
            servers: self.servers()?,
        })
    }

    /// The same on a machine that need not have all of it.
    pub(super) fn listing_of_any(&self) -> Result<Listing, ToolError> {
        Ok(Listing {
            addresses: or_nothing(self.addresses())?,
            sets: or_nothing(self.sets())?,
            servers: or_nothing(self.servers())?,
        })
    }

    /// Whether there is the device of a proxy, on a machine that need not have any.
    pub(super) fn has_device_of_any(&self) -> Result<bool, ToolError> {
        or_nothing(self.has_device())
    }

    /// Every virtual server, as `ipvsadm -R` takes it.
    fn servers(&self) -> Result<String, ToolError> {
        self.machine.run(IPVSADM, &["-S", "-n"], "")
    }

    /// Every virtual server, with how many connections each real server has.
    pub(super) fn connections(&self) -> Result<String, ToolError> {
        self.machine.run(IPVSADM, &["-L", "-n"], "")
    }

    /// Every set, as `ipset restore` takes it.
    fn sets(&self) -> Result<String, ToolError> {
        self.machine.run(IPSET, &["save"], "")
    }

    /// The addresses of all devices.
    fn addresses(&self) -> Result<Addresses, ToolError> {
        let text = self.machine.run(IP, &["-o", "address", "show"], "")?;
        Ok(Addresses::read(&text))
    }

    /// Whether there is the device of a proxy.
    pub(super) fn has_device(&self) -> Result<bool, ToolError> {
        let arguments = ["-o", "link", "show", "type", "dummy"];
        let text = self.machine.run(IP, &arguments, "")?;
        let mut names = text.lines().filter_map(|line| line.split(": ").nth(1));
        Ok(names.any(|name| name == DEVICE))
    }

    /// Changes sets, line by line until one cannot be done. What is there or gone already is no failure.
    pub(super) fn restore_sets(&self, text: &str) -> Result<(), ToolError> {
        let arguments = ["-exist", "restore"];
        self.machine.run(IPSET, &arguments, text).map(drop)
    }

    /// Changes virtual servers, each line that can be done.
    pub(super) fn restore_servers(&self, text: &str) -> Result<(), ToolError> {
        // It goes on after a line that fails, and its exit code is that of the last.
        self.machine.run_quiet(IPVSADM, &["-R"], text)
    }

    /// Changes devices and addresses, line by line until one cannot be done.
    pub(super) fn batch(&self, text: &str) -> Result<(), ToolError> {
        self.machine.run(IP, &["-batch", "-"], text).map(drop)
    }
}
