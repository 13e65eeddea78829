//! `spec.cluster`

use control::ProxyMode;
use serde_json::{Value as Json, json};

use super::build::{
    any_of, boolean, closed, described, duration, integer, list, one_or_list, open, text, words,
};

/// One of the modes that this version runs.
pub(super) fn mode() -> Json {
    words(ProxyMode::ALL.into_iter().map(ProxyMode::as_str))
}

pub(super) fn cluster() -> Json {
    let cidrs = |what| described(list(text("A range such as 10.96.0.0/12")), what);
    closed(
        &[
            (
                "serviceCIDRs",
                cidrs(
                    "Where ClusterIPs come from: one range, or one of each family; default 10.96.0.0/12",
                ),
            ),
            (
                "podCIDRs",
                cidrs("Where Pods' addresses come from; default 10.244.0.0/16"),
            ),
            ("nodePortRange", text("Default 30000-32767")),
            ("dnsDomain", text("Default cluster.local")),
            ("dns", dns()),
            (
                "loadBalancer",
                closed(&[("pool", cidrs("Addresses of load balancers"))], &["pool"]),
            ),
            (
                "modes",
                described(
                    one_or_list(&mode()),
                    "The scenario runs once in each; default nftables",
                ),
            ),
            ("proxy", proxy(words([""]))),
            ("nodes", list(node())),
            ("nodeGroups", list(group())),
            ("outside", list(outside())),
            ("network", network()),
            ("timing", timing()),
        ],
        &[],
    )
}

fn node() -> Json {
    closed(
        &[
            ("name", text("Its name")),
            ("zone", text("Its zone, unless its labels say it")),
            (
                "addresses",
                described(
                    list(text("An IP address")),
                    "The first of a family is the primary one",
                ),
            ),
            ("podCIDRs", list(text("A range for its Pods"))),
            ("labels", open("Labels of the Node object")),
            ("cpu", cpus()),
            ("watch", duration("How long news takes to its proxy")),
            ("proxy", proxy_of_node()),
        ],
        &["name"],
    )
}

fn group() -> Json {
    closed(
        &[
            ("prefix", text("The nodes are prefix-1, prefix-2 and so on")),
            ("count", integer(0)),
            (
                "zones",
                described(list(text("A zone")), "Dealt out in turn"),
            ),
            ("cpu", cpus()),
        ],
        &["prefix", "count"],
    )
}

fn cpus() -> Json {
    described(integer(1), "How many CPUs a node has; default 8")
}

fn outside() -> Json {
    let route = closed(
        &[("to", text("A range")), ("via", text("A node"))],
        &["to", "via"],
    );
    closed(
        &[
            ("name", text("outside/NAME is how steps call it")),
            ("address", text("Its IP address")),
            (
                "routes",
                described(list(route), "Ways into the cluster's own ranges"),
            ),
        ],
        &["name", "address"],
    )
}

fn network() -> Json {
    let delay = |what: &str| duration(&format!("One way, {what}"));
    closed(
        &[
            ("sameNode", delay("on one node")),
            ("sameZone", delay("between nodes of a zone")),
            ("crossZone", delay("between zones")),
            (
                "mtu",
                json!({"type": "integer", "minimum": 1280, "maximum": 65_535}),
            ),
            (
                "hairpin",
                boolean("Whether a Pod gets its own packets back from its bridge"),
            ),
        ],
        &[],
    )
}

fn timing() -> Json {
    closed(
        &[
            (
                "watch",
                duration("How long news takes to whoever watches the API"),
            ),
            (
                "endpointSliceBatch",
                duration("How long the EndpointSlice controller collects changes"),
            ),
            ("podStart", duration("How long a Pod takes to start")),
            (
                "nodeGrace",
                duration("How long a node may go unheard of; at least 10s"),
            ),
            ("dnsWatch", duration("How long news takes to DNS")),
            ("syncCost", sync_cost()),
        ],
        &[],
    )
}

/// Whether there is cluster DNS, and caches of it.
fn dns() -> Json {
    let caches = "Whether each node has a cache of its own, which its Pods ask; default false";
    any_of(&[
        boolean("Whether the cluster has DNS; default true"),
        closed(&[("nodeLocal", boolean(caches))], &[]),
    ])
}

/// How long syncs take.
fn sync_cost() -> Json {
    let line = |what| {
        let keys = [
            ("base", duration("Of any sync")),
            ("perService", duration("And for each Service")),
        ];
        described(closed(&keys, &["base", "perService"]), what)
    };
    let keys = [
        ("full", line("Of a full sync")),
        ("partial", line("Of another one")),
    ];
    let linear = closed(&keys, &["full", "partial"]);
    let mode = |known: &[&str]| any_of(&[words(known.iter().copied()), linear.clone()]);
    let by_mode = [
        ("iptables", mode(&["model", "nft", "legacy"])),
        ("nftables", mode(&["model"])),
        ("flat", mode(&["model"])),
        ("ipvs", mode(&["model"])),
    ];
    let fixed = duration("Every sync takes as long");
    any_of(&[words(["model"]), fixed, closed(&by_mode, &[])])
}

/// What one node's proxy does otherwise than the others.
pub(super) fn proxy_of_node() -> Json {
    proxy(any_of(&[words([""]), mode()]))
}

/// A `KubeProxyConfiguration`, as far as it decides about packets.
fn proxy(mode: Json) -> Json {
    let mut keys = vec![("mode", mode)];
    let detect = [
        ("bridgeInterface", text("Pods are behind this bridge")),
        (
            "interfaceNamePrefix",
            text("Pods are behind interfaces that begin so"),
        ),
    ];
    let detect_modes = [
        "",
        "ClusterCIDR",
        "NodeCIDR",
        "BridgeInterface",
        "InterfaceNamePrefix",
    ];
    let periods = [
        (
            "minSyncPeriod",
            duration("The least time between two syncs"),
        ),
        ("syncPeriod", duration("When a failed sync is tried again")),
    ];
    let masquerade = [
        (
            "masqueradeAll",
            boolean("Masquerade whatever goes to a ClusterIP"),
        ),
        (
            "masqueradeBit",
            json!({"type": "integer", "minimum": 0, "maximum": 31}),
        ),
    ];
    let shared = [&masquerade[..], &periods].concat();
    let localhost = [(
        "localhostNodePorts",
        boolean("Whether 127.0.0.1 has node ports"),
    )];
    let port_addresses = described(
        list(text("A range of addresses, or `primary`")),
        "At which addresses of a node its node ports are open",
    );
    let ranges = text("Ranges of Pods, with commas between them");
    let idle = "Without effect here";
    keys.extend([
        ("bindAddress", text(idle)),
        ("bindAddressHardFail", boolean(idle)),
        ("clientConnection", open(idle)),
        ("configSyncPeriod", duration(idle)),
        ("enableProfiling", boolean(idle)),
        ("featureGates", open(idle)),
        ("healthzBindAddress", text(idle)),
        ("hostnameOverride", text(idle)),
        ("logging", open(idle)),
        ("metricsBindAddress", text(idle)),
        (
            "oomScoreAdj",
            json!({"type": "integer", "description": idle}),
        ),
        ("portRange", text(idle)),
        ("showHiddenMetricsForVersion", text(idle)),
        ("windowsRunAsService", boolean("Only false")),
        ("winkernel", open("Only what says nothing")),
        ("conntrack", open("Only kube-proxy's defaults")),
    ]);
    keys.extend([
        (
            "configFile",
            text("A file that says all of it; nothing else stands beside it"),
        ),
        ("apiVersion", words(["kubeproxy.config.k8s.io/v1alpha1"])),
        ("kind", words(["KubeProxyConfiguration"])),
        ("clusterCIDR", ranges),
        (
            "detectLocalMode",
            described(
                words(detect_modes),
                "Where Pods' packets come in is as the cluster begins with; the step `proxy` changes only what is expected",
            ),
        ),
        ("detectLocal", closed(&detect, &[])),
        ("nodePortAddresses", port_addresses),
        ("iptables", closed(&[&shared[..], &localhost].concat(), &[])),
        ("nftables", closed(&shared, &[])),
        ("ipvs", ipvs(&periods)),
    ]);
    closed(&keys, &[])
}

/// What is said of IPVS mode; of a few fields only what says nothing is taken.
fn ipvs(periods: &[(&'static str, Json)]) -> Json {
    let kernels_own = || duration("Only 0s: the kernel's own");
    let more = [
        ("scheduler", text("Which real server is next: rr, lc …")),
        ("tcpTimeout", kernels_own()),
        ("tcpFinTimeout", kernels_own()),
        ("udpTimeout", kernels_own()),
        ("strictARP", boolean("Only false: the network has no ARP")),
        ("excludeCIDRs", list(text("None"))),
    ];
    closed(&[periods, &more].concat(), &[])
}
