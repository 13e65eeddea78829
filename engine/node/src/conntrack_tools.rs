//! Running `conntrack`: the connections that a sync has left behind are forgotten.
//!
//! **Source of the semantics.** PROXY-73; conntrack(8) 1.4.7. Entries are looked through once, and deleted by where they
//! were sent to and who answers them, which is what makes them stale: one command deletes all that are alike.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use proxy::StaleUdp;
use ruleset::Family;

use crate::ToolError;
use crate::machine::Machine;

const CONNTRACK: &str = "conntrack";

/// What has become of entries that were to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedStale {
    /// How many are gone.
    pub count: usize,
    /// What went wrong first, if anything did: others may have been deleted after that.
    pub error: Option<ToolError>,
}

/// The program, run in this process's network namespace or in a named one.
#[derive(Clone, Debug, Default)]
pub struct ConntrackTools {
    machine: Machine,
}

impl ConntrackTools {
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

    /// Deletes the UDP entries of a family that are stale. One that cannot be deleted does not keep the others.
    #[must_use]
    pub fn delete_stale(&self, stale: &StaleUdp, family: Family) -> DeletedStale {
        let family = match family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        match self.run(&["-L", "-f", family, "-p", "udp"]) {
            Ok(listed) => delete_each(alike(&listed, stale), |flow| self.delete(family, flow)),
            Err(error) => DeletedStale {
                count: 0,
                error: Some(error),
            },
        }
    }

    fn delete(&self, family: &str, flow: Flow) -> Result<(), ToolError> {
        let (to, from) = (flow.destination, flow.answering);
        let words = [to.ip(), from.ip()].map(|address| address.to_string());
        let ports = [to.port(), from.port()].map(|port| port.to_string());
        let done = self.run(&[
            "-D",
            "-f",
            family,
            "-p",
            "udp",
            "--orig-dst",
            &words[0],
            "--orig-port-dst",
            &ports[0],
            "--reply-src",
            &words[1],
            "--reply-port-src",
            &ports[1],
        ]);
        match done {
            // They have come to their end by themselves.
            Err(ToolError::Other { message, .. }) if message.contains(" 0 flow entries") => Ok(()),
            done => done.map(drop),
        }
    }

    fn run(&self, arguments: &[&str]) -> Result<String, ToolError> {
        self.machine.run(CONNTRACK, arguments, "")
    }
}

/// The stale ones of the entries that are listed, and how many there are of each kind.
fn alike(listed: &str, stale: &StaleUdp) -> BTreeMap<Flow, usize> {
    let mut alike = BTreeMap::new();
    for flow in listed.lines().filter_map(Flow::read) {
        if stale.picks(flow.destination, flow.answering) {
            *alike.entry(flow).or_default() += 1;
        }
    }
    alike
}

fn delete_each(
    alike: BTreeMap<Flow, usize>,
    mut delete: impl FnMut(Flow) -> Result<(), ToolError>,
) -> DeletedStale {
    let mut done = DeletedStale::default();
    for (flow, count) in alike {
        match delete(flow) {
            Ok(()) => done.count += count,
            Err(error) => done.error = done.error.or(Some(error)),
        }
    }
    done
}

/// Where a connection was opened to, and where its answers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    destination: SocketAddr,
    answering: SocketAddr,
}

impl Flow {
    /// Reads a line of `conntrack -L`. It has each of the words twice: of the original direction, then of the reply.
    fn read(line: &str) -> Option<Self> {
        fn nth<T: std::str::FromStr>(line: &str, key: &str, n: usize) -> Option<T> {
            let words = line.split_whitespace();
            let mut values = words.filter_map(|word| word.strip_prefix(key));
            values.nth(n)?.parse().ok()
        }
        let destination: IpAddr = nth(line, "dst=", 0)?;
        let answering: IpAddr = nth(line, "src=", 1)?;
        Some(Self {
            destination: SocketAddr::new(destination, nth(line, "dport=", 0)?),
            answering: SocketAddr::new(answering, nth(line, "sport=", 1)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_nothing_else() {
        let flow = |port: u16| Flow {
            destination: SocketAddr::from(([10, 96, 0, 10], port)),
            answering: SocketAddr::from(([10, 244, 2, 7], 53)),
        };
        let failed = |flow: Flow| ToolError::Other {
            tool: CONNTRACK.to_owned(),
            message: flow.destination.port().to_string(),
        };
        let alike = BTreeMap::from([(flow(1), 1), (flow(2), 10), (flow(3), 100), (flow(4), 1000)]);
        let done = delete_each(alike, |flow| match flow.destination.port() {
            2 | 3 => Err(failed(flow)),
            _ => Ok(()),
        });
        let expected = DeletedStale {
            count: 1001,
            error: Some(failed(flow(2))),
        };
        assert_eq!(done, expected);
    }

    #[test]
    fn lines_of_conntrack() {
        for (line, destination, answering) in [
            (
                "udp      17 29 src=10.244.1.5 dst=10.96.0.10 sport=5000 dport=53 [UNREPLIED] src=10.244.2.7 \
                 dst=10.244.1.5 sport=1053 dport=5000 mark=0 use=1",
                "10.96.0.10:53",
                "10.244.2.7:1053",
            ),
            (
                "udp      17 119 src=fd00::1 dst=fd00:96::a sport=5000 dport=53 src=fd00:244::7 dst=fd00::1 sport=53 \
                 dport=5000 [ASSURED] mark=0 zone=7 use=1",
                "[fd00:96::a]:53",
                "[fd00:244::7]:53",
            ),
        ] {
            let expected = Flow {
                destination: destination.parse().unwrap(),
                answering: answering.parse().unwrap(),
            };
            assert_eq!(Flow::read(line), Some(expected), "{line}");
        }
        assert_eq!(Flow::read("udp 17 29 src=10.244.1.5 dst=10.96.0.10"), None);
    }
}
