//! `switchboard node` on a real kernel: a client in one network namespace reaches an endpoint in another by the
//! ClusterIP, through a node in a third. Needs root and `ip`, and the tool of the mode.

mod common;

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use common::{root, scratch, stderr, stdout, switchboard, unbroken};

/// Who serves, or who connects: for this test's own process in a namespace.
const SERVE: &str = "SWITCHBOARD_TEST_SERVE";
const CONNECT: &str = "SWITCHBOARD_TEST_CONNECT";

const ENDPOINT: &str = "10.244.2.5:8080";
const CLUSTER_IP: &str = "10.96.0.40:80";

const NODE: [&str; 6] = [
    "--manifests",
    "scenarios/real-node/manifests",
    "--node-name",
    "node-a",
    "--cluster-cidr",
    "10.244.0.0/16",
];

/// Three hosts in namespaces that go with it.
struct Site {
    prefix: String,
    server: Option<Child>,
}

impl Site {
    /// `None`, with the reason printed, where this process may not make one. In CI it must.
    fn create(label: &str) -> Option<Self> {
        let prefix = format!("sb-cli-{}-{label}", std::process::id());
        let site = Self {
            prefix,
            server: None,
        };
        for host in ["client", "node", "endpoint"] {
            let added = Command::new("ip")
                .args(["netns", "add", &site.name(host)])
                .output();
            if !added.as_ref().is_ok_and(|output| output.status.success()) {
                assert!(env::var_os("CI").is_none(), "must run in CI: {added:?}");
                eprintln!("skipped: no network namespace: {added:?}");
                return None;
            }
            site.ip(host, "link set lo up");
        }
        site.join("client", "10.244.1.5", "10.244.1.1", "veth0");
        site.join("endpoint", "10.244.2.5", "10.244.2.1", "veth1");
        let mut forward = site.within("node", "sh");
        let setting = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        let forwards = forward.args(["-c", setting]).status();
        assert!(forwards.is_ok_and(|status| status.success()));
        Some(site)
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn ip(&self, host: &str, arguments: &str) {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.name(host)]).args(arguments.split(' '));
        let output = ip.output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", stderr(&output));
    }

    fn join(&self, host: &str, its: &str, ours: &str, link: &str) {
        let peer = self.name(host);
        self.ip(
            "node",
            &format!("link add {link} type veth peer name eth0 netns {peer}"),
        );
        self.ip("node", &format!("address add {ours}/24 dev {link}"));
        self.ip("node", &format!("link set {link} up"));
        self.ip(host, &format!("address add {its}/24 dev eth0"));
        self.ip(host, "link set eth0 up");
        self.ip(host, &format!("route add default via {ours}"));
    }

    fn within(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), program]);
        // The usual lock file is the whole machine's.
        command.env("XTABLES_LOCKFILE", format!("/run/{}.lock", self.prefix));
        command
    }

    /// This test's process again, in a namespace.
    fn again(&self, host: &str, role: &str, address: &str) -> Command {
        let me = env::current_exe().unwrap();
        let mut command = self.within(host, me.to_str().unwrap());
        command.args(["--exact", "a_host", "--nocapture"]);
        command.env(role, address);
        command
    }

    fn serve(&mut self) {
        let mut server = self.again("endpoint", SERVE, ENDPOINT);
        let mut child = server.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = Vec::new();
        let mut out = child.stdout.take().unwrap();
        while !said.ends_with(b"listening\n") {
            let mut byte = [0];
            assert_eq!(out.read(&mut byte).unwrap(), 1, "it ended early");
            said.extend(byte);
        }
        self.server = Some(child);
    }

    fn client_hears(&self) -> Option<String> {
        let output = self.again("client", CONNECT, CLUSTER_IP).output().unwrap();
        let said = stdout(&output);
        let heard = said.lines().find_map(|line| line.strip_prefix("heard "));
        heard.map(str::to_owned)
    }

    fn node(&self, arguments: &[&str]) -> Output {
        let mut command = self.within("node", env!("CARGO_BIN_EXE_switchboard"));
        command.arg("node").args(arguments).current_dir(root());
        command.output().unwrap()
    }

    #[track_caller]
    fn node_does(&self, arguments: &[&str]) -> String {
        let output = self.node(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            drop(server.kill());
            drop(server.wait());
        }
        for host in ["client", "node", "endpoint"] {
            let mut delete = Command::new("ip");
            drop(delete.args(["netns", "delete", &self.name(host)]).output());
        }
        drop(std::fs::remove_file(format!("/run/{}.lock", self.prefix)));
    }
}

/// Does nothing by itself: it is what other tests run in namespaces.
#[test]
fn a_host() {
    if let Ok(address) = env::var(SERVE) {
        let listener = TcpListener::bind(address).unwrap();
        println!("listening");
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let from = stream.peer_addr().unwrap().ip().to_string();
            stream.write_all(from.as_bytes()).unwrap();
        }
    }
    if let Ok(address) = env::var(CONNECT) {
        let address: SocketAddr = address.parse().unwrap();
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            println!("heard {heard}");
        }
    }
}

fn a_cluster_ip_is_reached(label: &str, mode: &[&str]) {
    let Some(mut site) = Site::create(label) else {
        return;
    };
    site.serve();
    assert_eq!(site.client_hears(), None, "nothing is programmed yet");
    let arguments = |task| [&[task], mode, &NODE[..]].concat();
    let shown = site.node_does(&arguments("--dry-run"));
    assert!(shown.contains("10.96.0.40"), "{shown}");
    assert_eq!(site.client_hears(), None, "a dry run changes nothing");
    site.node_does(&arguments("--once"));
    assert_eq!(site.client_hears().as_deref(), Some("10.244.1.5"));
    let again = site.node_does(&arguments("--once"));
    assert!(again.contains("nothing to change"), "{again}");
    let left = site.node_does(&["--cleanup"]);
    assert_eq!(site.client_hears(), None, "all is gone");
    // The chain that the kubelet writes as well is not a proxy's to take away.
    let stays = "but for KUBE-FIREWALL, which is the kubelet's as well";
    assert_eq!(left.contains(stays), mode.contains(&"iptables"), "{left}");
    let nothing = site.node_does(&["--cleanup"]);
    assert_eq!(nothing, "there was nothing of a proxy\n");
}

#[test]
fn a_cluster_ip_is_reached_by_nftables() {
    a_cluster_ip_is_reached("nft", &["--mode", "nftables"]);
}

#[test]
fn a_cluster_ip_is_reached_by_flat_rules() {
    a_cluster_ip_is_reached("flat", &["--mode", "flat"]);
}

#[test]
fn a_cluster_ip_is_reached_by_iptables_on_nf_tables() {
    let mode = ["--mode", "iptables", "--iptables", "nft"];
    a_cluster_ip_is_reached("xt-nft", &mode);
}

/// What the mode before has left goes when the new one stands.
#[test]
fn a_mode_follows_another() {
    let Some(mut site) = Site::create("modes") else {
        return;
    };
    site.serve();
    for (mode, other) in [
        ("iptables", None),
        ("nftables", Some("iptables")),
        ("flat", None),
        ("iptables", Some("flat")),
    ] {
        let said = site.node_does(&[&["--once", "--mode", mode], &NODE[..]].concat());
        let left = said.contains("what a proxy had there is gone");
        assert_eq!(left, other.is_some(), "{said}");
        assert_eq!(site.client_hears().as_deref(), Some("10.244.1.5"), "{mode}");
    }
}

/// A machine without IPVS is told what it lacks, before anything is changed; what one with it would load is shown. A machine
/// that has it has a test of the sink (`node/tests/kernel/ipvs.rs`).
#[test]
fn mode_ipvs_is_refused_where_it_cannot_be() {
    let Some(site) = Site::create("ipvs") else {
        return;
    };
    let arguments = |task: &'static [&str]| [task, &["--mode", "ipvs"], &NODE].concat();
    let once = site.node(&arguments(&["--once"]));
    if once.status.success() {
        eprintln!("skipped: this machine has IPVS");
        return;
    }
    for output in [once, site.node(&arguments(&[]))] {
        assert_eq!(output.status.code(), Some(2));
        let said = unbroken(&stderr(&output));
        let lacks = ["ipvsadm is not installed", "Can't initialize ipvs"];
        assert!(lacks.iter().any(|lack| said.contains(lack)), "{said}");
        assert!(said.contains("choose another --mode"), "{said}");
    }
    let shown = site.node_does(&arguments(&["--dry-run"]));
    assert!(
        shown.contains("a machine that has it would load:"),
        "{shown}"
    );
    assert!(shown.contains("### ipvsadm -R\n"), "{shown}");
    let settings = "\n# sysctl -w net.ipv4.vs.conntrack=1 net.ipv4.vs.expire_nodest_conn=1 ";
    assert!(shown.contains(settings), "{shown}");
    assert!(shown.contains("-A -t 10.96.0.40:80 -s rr\n"), "{shown}");
    assert_eq!(
        site.node_does(&["--cleanup"]),
        "there was nothing of a proxy\n"
    );
}

#[test]
fn bad_input_is_named() {
    let folder = scratch("node-bad-input");
    std::fs::write(
        folder.join("web.yaml"),
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n",
    )
    .unwrap();
    std::fs::write(
        folder.join("scenario.yaml"),
        "apiVersion: switchboard.dev/v1alpha1\nkind: Scenario\nmetadata: {name: a}\nspec: {}\n",
    )
    .unwrap();
    let empty = scratch("node-empty");
    let tell = |arguments: &[&str]| {
        let output = switchboard(&folder, &[&["node"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        stderr(&output)
    };
    let once = [
        "--once",
        "--node-name",
        "a",
        "--mode",
        "nftables",
        "--manifests",
    ];
    for (manifests, expected) in [
        ("web.yaml", "web.yaml:1:1"),
        ("web.yaml", "spec.clusterIPs"),
        ("none.yaml", "cannot read none.yaml"),
        (
            "scenario.yaml",
            "scenario.yaml:1:1: a Scenario is no manifest",
        ),
        (empty.to_str().unwrap(), "there are no manifests in"),
    ] {
        let said = tell(&[&once[..], &[manifests]].concat());
        assert!(said.contains(expected), "{said}");
    }
    let said = tell(&["--once"]);
    assert!(said.contains("--manifests"), "{said}");
}

#[test]
fn alloc_20_50_and_57_what_a_cluster_gives_out_must_be_stated() {
    let folder = scratch("node-left-open");
    let balanced = "type: LoadBalancer, clusterIP: 10.96.0.40, externalTrafficPolicy: Local, ports: [{port: 80, nodePort: 30080}]";
    for (spec, field) in [
        ("ports: [{port: 80}]", "spec.clusterIP"),
        (
            "ipFamilyPolicy: PreferDualStack, clusterIP: 10.96.0.40, ports: [{port: 80}]",
            "spec.clusterIPs[1]",
        ),
        (
            "type: NodePort, clusterIP: 10.96.0.40, ports: [{name: a, port: 80, nodePort: 30080}, {name: b, port: 81}]",
            "spec.ports[1].nodePort",
        ),
        (balanced, "spec.healthCheckNodePort"),
    ] {
        let manifest =
            format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{{spec}}}\n");
        std::fs::write(folder.join("web.yaml"), manifest).unwrap();
        let output = switchboard(
            &folder,
            &[
                "node",
                "--dry-run",
                "--node-name",
                "a",
                "--address",
                "192.0.2.1",
                "--mode",
                "nftables",
                "--service-cidr",
                "10.96.0.0/16",
                "--service-cidr",
                "fd00::/112",
                "--manifests",
                "web.yaml",
            ],
        );
        assert_eq!(output.status.code(), Some(2), "{spec}");
        // Long lines are broken.
        let said = stderr(&output).replace('│', " ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected =
            format!("web.yaml:1:1: {field}: Service web does not say what its cluster gave it");
        assert!(said.contains(&expected), "{said}");
        assert!(
            said.contains(&format!("state {field}, as kubectl")),
            "{said}"
        );
    }
}
