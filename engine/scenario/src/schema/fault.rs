//! `fault`: one shape per sort of fault.

use serde_json::{Value as Json, json};

use super::build::{any_of, boolean, closed, described, duration, integer, text, words};

/// The settings of `fault`.
pub(super) fn fault() -> Json {
    let on_node = ["partition-api", "proxy-crash", "proxy-stall", "node-down"];
    let place = [
        node(),
        zone(),
        ("by", duration("How much later news comes")),
    ];
    let max = described(integer(0), "How many connections may be tracked");
    any_of(&[
        lasting(&on_node, &[node()], &["node"]),
        lasting(&["watch-delay"], &place, &["by"]),
        lasting(&["zone-down"], &[zone()], &["zone"]),
        lasting(&["link"], &link(), &["a"]),
        lasting(&["pod-unready"], &[pod()], &["pod"]),
        lasting(
            &["conntrack-full"],
            &[node(), ("max", max)],
            &["node", "max"],
        ),
        lasting(&["api-down", "dns-down"], &[], &[]),
        closed(&[("kind", words(["pod-crash"])), pod()], &["kind", "pod"]),
    ])
}

type Key = (&'static str, Json);

/// Faults that go on until they are healed.
fn lasting(kinds: &[&str], keys: &[Key], required: &[&str]) -> Json {
    let own = [
        ("kind", words(kinds.iter().copied())),
        ("id", text("Its name: `heal` ends it")),
        ("for", duration("When it ends by itself")),
    ];
    closed(&[&own, keys].concat(), &[&["kind"], required].concat())
}

fn node() -> Key {
    ("node", text("Of this node"))
}

fn zone() -> Key {
    ("zone", text("Of all nodes of this zone"))
}

fn pod() -> Key {
    (
        "pod",
        text("pod/… or a workload such as deployment/…: all its Pods"),
    )
}

/// What is wrong with a link.
fn link() -> Vec<Key> {
    let end = |more: &str| {
        let text_of = "node/… or its name alone, zone/…, outside/…, pod/… or a workload";
        text(&format!("{text_of}{more}"))
    };
    let share = |what: &str| {
        let number = json!({"type": "number", "minimum": 0, "maximum": 1});
        let percent = text("5% or 0.25%");
        described(
            any_of(&[number, percent]),
            &format!("{what}: a part of all packets"),
        )
    };
    vec![
        ("a", end("")),
        ("b", end("; of a Pod its node, which may be left out")),
        ("cut", boolean("Nothing goes through")),
        ("delay", duration("Added to each packet")),
        ("jitter", duration("Up to so much more, by chance")),
        ("loss", share("Lost")),
        ("duplicate", share("Arriving twice")),
        ("reorder", share("Overtaking those before")),
        ("rate", text("Bits per second: 10mbit")),
        (
            "mtu",
            json!({"type": "integer", "minimum": 1280, "maximum": 65_535}),
        ),
    ]
}
