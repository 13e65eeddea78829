//! The node of the tests, once as routes in a kernel and once as routes in the evaluator.
//!
//! Pods are behind an interface each with a host route, everything else is behind the uplink, as `plane` has it.
//! The far ends of all interfaces are held by the test: what it writes arrives at the node, and what the node
//! sends it reads. So a packet is compared byte by byte, and nobody waits for anybody's time-out.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use ipnet::IpNet;
use netfilter::{Hop, InterfaceName, Packet, Routing};
use ruleset::Family;
use smoltcp::phy::{Device as _, Medium, RxToken as _, TunTapInterface, TxToken as _};
use smoltcp::time::Instant;

use crate::packets::destination;

/// The first of a family is its primary one.
pub(crate) const ADDRESSES: [&str; 3] = ["192.168.10.1", "fd00:192:168::1", "192.168.20.1"];

/// Interfaces and what is behind them; the longest prefix wins.
const INTERFACES: [(&str, &[&str]); 5] = [
    ("eth0", &["0.0.0.0/0", "::/0"]),
    ("veth2", &["10.244.1.2/32", "fd00:10:244:1::2/128"]),
    ("veth3", &["10.244.1.3/32", "fd00:10:244:1::3/128"]),
    ("veth4", &["10.244.1.4/32", "fd00:10:244:1::4/128"]),
    ("veth9", &["10.244.1.0/24", "fd00:10:244:1::/64"]),
];

/// Kernel settings and values. Error messages are not to be limited in their rate, addresses not to be doubted.
const SETTINGS: [(&str, &str); 12] = [
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/icmp_ratemask", "0"),
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/icmp/ratemask", "127"),
];

/// The evaluator's side of the node.
pub(crate) struct Site {
    addresses: Vec<IpAddr>,
    routes: Vec<(IpNet, &'static str)>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let address = |text: &str| text.parse().expect("an address");
        let route = |net: &str, name| (net.parse().expect("a range"), name);
        let routes = INTERFACES
            .iter()
            .flat_map(|(name, nets)| nets.iter().map(|net| route(net, *name)));
        Self {
            addresses: ADDRESSES.map(address).into(),
            routes: routes.collect(),
        }
    }

    pub(crate) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The interface towards an address, which is also where packets from it arrive.
    pub(crate) fn interface(&self, address: IpAddr) -> &'static str {
        let routes = self.routes.iter().filter(|(net, _)| net.contains(&address));
        let longest = routes.max_by_key(|(net, _)| net.prefix_len());
        longest.expect("there are default routes").1
    }
}

impl Routing for Site {
    fn is_local(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    fn route(&self, destination: IpAddr) -> Option<Hop> {
        let family = Family::of(destination);
        let mut own = self.addresses.iter().copied();
        Some(Hop {
            interface: InterfaceName::literal(self.interface(destination)),
            source_address: own.find(|address| Family::of(*address) == family)?,
        })
    }

    fn has_narrow_ways(&self) -> bool {
        false
    }
}

/// A packet with the interface through which it left the node.
pub(crate) type Emission = (&'static str, Packet);

/// The kernel's side of the node, in the namespace of this process.
pub(crate) struct Wires(BTreeMap<&'static str, TunTapInterface>);

impl Wires {
    /// Makes this process's namespace the node.
    pub(crate) fn new() -> Self {
        for (setting, value) in SETTINGS {
            let path = format!("/proc/sys/net/{setting}");
            std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        let wires = INTERFACES.map(|(name, _)| {
            let wire = TunTapInterface::new(name, Medium::Ip);
            (name, wire.unwrap_or_else(|error| panic!("{name}: {error}")))
        });
        let mut batch = "link set lo up\n".to_owned();
        for (name, _) in INTERFACES {
            batch += &format!("link set {name} addrgenmode none\nlink set {name} up\n");
        }
        for address in ADDRESSES {
            batch += &format!("addr add {address} dev eth0 nodad\n");
        }
        for (name, nets) in INTERFACES {
            for net in nets {
                batch += &format!("route add {net} dev {name}\n");
            }
        }
        run("ip", &["-batch", "-"], &batch);
        Self(wires.into())
    }

    /// Has a packet arrive at an interface. The kernel has dealt with it when this returns, but for what it
    /// leaves to others.
    pub(crate) fn inject(&mut self, interface: &str, packet: &Packet) {
        let wire = self.0.get_mut(interface).expect("an interface of the site");
        let token = wire.transmit(Instant::ZERO).expect("always there");
        token.consume(packet.bytes().len(), |bytes| {
            bytes.copy_from_slice(packet.bytes());
        });
    }

    /// What has left the node so far, but for what it tells groups of its own accord (listener reports).
    pub(crate) fn left(&mut self) -> Vec<Emission> {
        let mut left = Vec::new();
        for (name, wire) in &mut self.0 {
            while let Some((token, _)) = wire.receive(Instant::ZERO) {
                let packet = Packet::new(token.consume(<[u8]>::to_vec));
                if !destination(&packet).is_multicast() {
                    left.push((*name, packet));
                }
            }
        }
        left
    }

    /// Waits until something has left the node, at most for so many milliseconds.
    pub(crate) fn wait(&mut self, milliseconds: u32) -> Vec<Emission> {
        for _ in 0..milliseconds {
            let left = self.left();
            if !left.is_empty() {
                return left;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.left()
    }
}

/// Runs a tool that must succeed.
pub(crate) fn run(tool: &str, arguments: &[&str], input: &str) {
    let mut child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{tool}: {error}"));
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it was started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let done = output.status.success() && written.is_ok();
    assert!(done, "{tool} {arguments:?}: {stderr}\n{input}");
}
