//! The rows of a table, and the few words that they are written in.

use std::net::{IpAddr, SocketAddr};

use api::{IpFamily, Protocol};
use switchboard_conformance::{FirstPacket, PacketKind, ProxyMode, Source};

use crate::expected::Expected;
use crate::fixture::endpoint_address;

/// One packet and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) packet: FirstPacket,
    iptables: Expected,
    nftables: Expected,
    ipvs: Expected,
    pub(crate) ids: String,
}

impl Row {
    /// Reads all rows of a table: `| what | from | to | outcome | nftables | ipvs | ids |`. `outcome` is for
    /// all modes unless a column of their own says otherwise.
    pub(crate) fn read_all(table: &str) -> Vec<Self> {
        let mut lines = table.lines().filter(|line| !line.trim().is_empty());
        let head = lines.next().expect("a table has a head");
        assert_eq!(
            cells(head),
            ["what", "from", "to", "outcome", "nftables", "ipvs", "ids"]
        );
        lines.map(Self::read).collect()
    }

    fn read(line: &str) -> Self {
        let cells: [&str; 7] = cells(line)
            .try_into()
            .unwrap_or_else(|_| panic!("seven columns: {line}"));
        let [what, from, to, outcome, nftables, ipvs, ids] = cells;
        let (destination, kind) = read_destination(to);
        let family = IpFamily::of(destination.ip());
        let (node, source) = read_source(from, family);
        let [nftables, ipvs] = [nftables, ipvs].map(|own| if own == "=" { outcome } else { own });
        Self {
            what: what.to_owned(),
            packet: FirstPacket {
                node,
                source,
                destination,
                kind,
            },
            iptables: Expected::read(outcome, family),
            nftables: Expected::read(nftables, family),
            ipvs: Expected::read(ipvs, family),
            ids: ids.to_owned(),
        }
    }

    /// What is expected in a mode.
    pub(crate) fn expected(&self, mode: ProxyMode) -> &Expected {
        match mode {
            ProxyMode::Iptables => &self.iptables,
            ProxyMode::Nftables => &self.nftables,
            ProxyMode::Ipvs => &self.ipvs,
            other => panic!("the table has no column for {other}"),
        }
    }
}

fn cells(line: &str) -> Vec<&str> {
    let inner = line.trim().trim_matches('|');
    inner.split('|').map(str::trim).collect()
}

/// `10.96.0.40:80` (TCP), `10.96.0.40:53/UDP`, `[::1]:80`, `ping 10.96.0.40`.
fn read_destination(text: &str) -> (SocketAddr, PacketKind) {
    if let Some(address) = text.strip_prefix("ping ") {
        return (SocketAddr::new(parse(address), 0), PacketKind::Ping);
    }
    let (address, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
    let protocol =
        Protocol::parse(protocol).unwrap_or_else(|| panic!("{protocol:?} is no protocol"));
    let address = address
        .parse()
        .unwrap_or_else(|error| panic!("{address:?}: {error}"));
    (address, PacketKind::Open(protocol))
}

/// `pod`, `remote-pod`, `node`, `localhost`, `outside`, or a Pod's letter, on node-1 unless `@node-2` follows; and
/// another address than the usual one after that. A Pod's letter is that Pod on its own node.
fn read_source(text: &str, family: IpFamily) -> (String, Source) {
    let (who, address) = match text.split_once(' ') {
        Some((who, address)) => (who, Some(parse(address))),
        None => (text, None),
    };
    let (who, node) = who.split_once('@').unwrap_or((who, "node-1"));
    let (here, there) = if node == "node-1" { (1, 2) } else { (2, 1) };
    let is_v6 = family == IpFamily::V6;
    let pod = |node: u8| match is_v6 {
        false => parse(&format!("10.244.{node}.9")),
        true => parse(&format!("fd00:10:244:{node}::9")),
    };
    let of_node = if is_v6 {
        format!("fd00:192:168::{here}")
    } else {
        format!("192.168.10.{here}")
    };
    let outside = if is_v6 {
        "2001:db8::70"
    } else {
        "203.0.113.70"
    };
    let source = match who {
        "pod" => Source::Pod(address.unwrap_or_else(|| pod(here))),
        "remote-pod" => Source::RemotePod(address.unwrap_or_else(|| pod(there))),
        "node" => Source::Node(address.unwrap_or_else(|| parse(&of_node))),
        "localhost" => Source::Node(address.unwrap_or_else(|| parse("127.0.0.1"))),
        "outside" => Source::Outside(address.unwrap_or_else(|| parse(outside))),
        letter => Source::Pod(endpoint_address(letter, family)),
    };
    (node.to_owned(), source)
}

fn parse(address: &str) -> IpAddr {
    address
        .parse()
        .unwrap_or_else(|error| panic!("{address:?}: {error}"))
}
