//! `spec.steps`: one shape per verb.

use control::ResolveRequest;
use serde_json::{Value as Json, json};

use super::build::{
    any_of, boolean, closed, described, duration, integer, list, one_or_list, open, text, words,
};
use super::{cluster, expect, fault};
use crate::step::Plane;

/// Every verb: its name, its settings and the definition of what can be expected of it.
fn verbs() -> Vec<(&'static str, Json, Option<&'static str>)> {
    vec![
        ("apply", manifests("kubectl apply"), Some("write")),
        ("create", manifests("kubectl create"), Some("write")),
        ("replace", manifests("kubectl replace"), Some("write")),
        ("delete", delete(), Some("write")),
        ("patch", patch(), Some("write")),
        ("scale", scale(), Some("write")),
        (
            "restart",
            reference("A workload whose Pods are made anew"),
            Some("write"),
        ),
        (
            "wait",
            text(
                "A duration such as 2s, or `converged`: until nothing is pending but periodic events, traffic in the \
                 background, and the repetition of what was lost",
            ),
            None,
        ),
        ("get", get(), Some("get")),
        ("events", events(), Some("get")),
        ("resolve", resolve(), Some("resolve")),
        ("connect", connect(), Some("connect")),
        ("probe", probe(), Some("probe")),
        ("rules", rules(), Some("rules")),
        ("open", open_one(), Some("request")),
        ("send", send(), Some("request")),
        ("close", text("The id of a connection that is held"), None),
        ("traffic", traffic(), None),
        ("stop", text("The id of traffic"), Some("stop")),
        ("proxy", proxy(), None),
        ("fault", fault::fault(), None),
        ("heal", text("The id of a fault"), None),
        ("explain", explain(), Some("explain")),
        ("matrix", closed(&[], &[]), None),
        (
            "await",
            text("What is awaited: a repair that a user brings"),
            None,
        ),
    ]
}

/// Any step.
pub(super) fn step() -> Json {
    let shapes = verbs().into_iter().map(|(verb, settings, expect)| {
        let mut keys = common();
        keys.push((verb, settings));
        keys.extend(expect.map(|name| ("expect", expect::reference(name))));
        closed(&keys, &[verb])
    });
    any_of(&shapes.collect::<Vec<_>>())
}

/// What every step may have.
fn common() -> Vec<(&'static str, Json)> {
    let planes = words([Plane::Sim.as_str(), Plane::Kernel.as_str()]);
    let only = closed(
        &[
            ("modes", one_or_list(&cluster::mode())),
            ("planes", one_or_list(&planes)),
        ],
        &[],
    );
    vec![
        ("name", text("Its name: --at NAME stops behind it")),
        ("only", described(only, "Skipped elsewhere")),
        ("at", duration("When it starts, counted from the beginning")),
        ("after", duration("How long after the step before it")),
    ]
}

fn reference(what: &str) -> Json {
    text(&format!("{what}: kind/name or kind/namespace/name"))
}

fn source() -> Json {
    text("Who sends: pod/…, a workload such as deployment/…, node/… or outside/…")
}

fn protocol(known: &[&str]) -> Json {
    described(words(known.iter().copied()), "Default TCP")
}

fn manifests(verb: &str) -> Json {
    let file = closed(&[("file", text("A path relative to this file"))], &["file"]);
    let objects = list(open("A Kubernetes object"));
    let what = format!("{verb}: manifest text, {{file: …}} or a list of objects");
    described(any_of(&[text("Manifest text"), file, objects]), &what)
}

fn delete() -> Json {
    let targets = || one_or_list(&reference("What is deleted"));
    let keys = [
        ("target", targets()),
        (
            "cascade",
            described(
                words(["background", "foreground", "orphan"]),
                "What becomes of dependents, as kubectl's --cascade has it",
            ),
        ),
        (
            "gracePeriod",
            duration("How long Pods may take, in whole seconds"),
        ),
    ];
    any_of(&[targets(), closed(&keys, &["target"])])
}

fn patch() -> Json {
    let keys = [
        ("target", reference("What is changed")),
        (
            "patch",
            open("Merged into it, as kubectl patch --type merge does"),
        ),
    ];
    closed(&keys, &["target", "patch"])
}

fn scale() -> Json {
    let keys = [
        ("target", reference("A workload")),
        ("replicas", integer(0)),
    ];
    closed(&keys, &["target", "replicas"])
}

/// How `get` shows what it shows.
fn shown() -> [(&'static str, Json); 2] {
    [
        ("namespace", text("Default: the scenario's")),
        (
            "output",
            text("table (default), wide, yaml, json, name, jsonpath=… or custom-columns=…"),
        ),
    ]
}

fn events() -> Json {
    closed(&shown(), &[])
}

fn get() -> Json {
    let [namespace, output] = shown();
    closed(
        &[
            (
                "resource",
                text("svc, `svc,pods`, `svc web` or svc/web, as kubectl takes it"),
            ),
            namespace,
            ("selector", text("Only those with these labels")),
            output,
        ],
        &["resource"],
    )
}

fn resolve() -> Json {
    closed(
        &[
            ("from", source()),
            (
                "name",
                text("A host name; a final dot skips the search list"),
            ),
            ("type", words(ResolveRequest::TYPES)),
            ("protocol", described(words(["UDP", "TCP"]), "Default UDP")),
        ],
        &["from", "name"],
    )
}

fn connect() -> Json {
    let count = described(integer(1), "How many connections; default 1");
    closed(
        &[&[("from", source()), ("count", count)], &dial()[..]].concat(),
        &["from", "to"],
    )
}

/// How to dial.
fn dial() -> [(&'static str, Json); 4] {
    [
        ("to", text("name:port, ip:port or [ipv6]:port")),
        ("protocol", protocol(&["TCP", "UDP"])),
        ("timeout", timeout()),
        ("send", text("What the client sends")),
    ]
}

fn timeout() -> Json {
    duration("How long the client waits; default 3s")
}

fn id() -> (&'static str, Json) {
    ("id", text("How later steps call it"))
}

fn open_one() -> Json {
    closed(
        &[&[id(), ("from", source())], &dial()[..]].concat(),
        &["id", "from", "to"],
    )
}

fn send() -> Json {
    closed(
        &[
            ("on", text("The id of a connection that is held")),
            ("send", text("What the client sends")),
            ("timeout", timeout()),
        ],
        &["on"],
    )
}

fn traffic() -> Json {
    let own = [
        id(),
        ("from", one_or_list(&source())),
        ("rate", text("Requests in a time: 200/s")),
        ("for", duration("When it ends; default: when it is stopped")),
        ("reuse", words(["none", "keepalive"])),
    ];
    let required = ["id", "from", "to", "rate"];
    closed(&[&own, &dial()[..]].concat(), &required)
}

fn proxy() -> Json {
    closed(
        &[
            ("node", text("Whose proxy; default: those of all nodes")),
            ("set", cluster::proxy_of_node()),
            ("restart", boolean("Whether it is started anew")),
        ],
        &[],
    )
}

fn probe() -> Json {
    let bare = closed(
        &[("ip", text("A source address as the node sees it"))],
        &["ip"],
    );
    closed(
        &[
            (
                "node",
                text("Whose rules; default: those of the source's node"),
            ),
            ("from", any_of(&[source(), bare])),
            ("to", text("name:port, ip:port or [ipv6]:port")),
            ("protocol", protocol(&["TCP", "UDP", "SCTP"])),
        ],
        &["from", "to"],
    )
}

fn explain() -> Json {
    let service = || reference("A Service");
    let asked = [
        ("service", service()),
        ("from", source()),
        (
            "port",
            json!({"type": ["integer", "string"], "description": "80 or 53/UDP"}),
        ),
        ("name", text("By which name it is called")),
    ];
    any_of(&[service(), closed(&asked, &["service"])])
}

fn rules() -> Json {
    closed(&[("node", text("Whose rules"))], &["node"])
}
