//! The table of connections: its limit, deleting from it, and errors about either direction (PROXY-72 … -75).

mod support;

use std::time::Duration;

use ruleset::Protocol;
use switchboard_netfilter::{DropReason, EntryFilter, Verdict};

use support::wire::{ack, port_unreachable, syn, syn_ack, udp};
use support::{ENDPOINTS, Walk, ip, shown, web, web_builder};

/// Established through all three steps: assured.
fn establish(walk: &mut Walk, port: u16) {
    let (client, server) = (format!("10.244.1.5:{port}"), "10.244.2.5:80");
    walk.forwards(syn(&client, server));
    walk.forwards(syn_ack(server, &client));
    walk.forwards(ack(&client, server));
    walk.forwards(ack(server, &client));
}

#[test]
fn a_full_table_gives_up_who_is_not_assured() {
    let mut walk = Walk::new(web(&ENDPOINTS));
    walk.state.set_limit(Some(3));
    establish(&mut walk, 1);
    establish(&mut walk, 2);
    walk.forwards(udp("10.244.1.5:3", "10.244.2.5:53"));
    walk.forwards(udp("10.244.1.5:4", "10.244.2.5:53"));
    assert_eq!(walk.state.len(), 3);
    let listing = walk.listing().join("\n");
    assert!(
        listing.contains("sport=4 ") && !listing.contains("sport=3 "),
        "{listing}"
    );
}

#[test]
fn a_full_table_of_assured_connections_drops_new_ones() {
    let mut walk = Walk::new(web(&ENDPOINTS));
    walk.state.set_limit(Some(2));
    establish(&mut walk, 1);
    establish(&mut walk, 2);
    let new = || udp("10.244.1.5:3", "10.244.2.5:53");
    let refused = Verdict::Drop(DropReason::ConntrackFull);
    assert_eq!(walk.arrives(new()), refused);
    assert_eq!(
        DropReason::ConntrackFull.to_string(),
        "conntrack table is full"
    );
    // Connections that stand go on, and a closed one makes room once it has expired.
    walk.forwards(ack("10.244.1.5:1", "10.244.2.5:80"));
    walk.now += Duration::from_secs(25 * 3600);
    walk.forwards(new());
    walk.state.set_limit(None);
    walk.forwards(udp("10.244.1.5:4", "10.244.2.5:53"));
}

#[test]
fn a_table_of_no_size_takes_nothing() {
    let mut walk = Walk::new(web(&ENDPOINTS));
    walk.state.set_limit(Some(0));
    let verdict = walk.arrives(syn("10.244.1.5:1", "10.244.2.5:80"));
    assert_eq!(verdict, Verdict::Drop(DropReason::ConntrackFull));
}

/// What kube-proxy deletes: UDP entries of a Service's address that lead to a former endpoint (PROXY-73).
#[test]
fn entries_are_deleted_by_filter() {
    let mut walk = Walk::new(web_builder(Protocol::UDP, &["10.244.2.11"]).build());
    walk.forwards(udp("10.244.1.5:1", "10.96.0.40:80"));
    walk.forwards(udp("10.244.1.5:2", "10.96.0.40:81"));
    establish(&mut walk, 3);
    let base = EntryFilter {
        protocol: Some(Protocol::UDP),
        original_destination: Some(ip("10.96.0.40")),
        ..EntryFilter::default()
    };
    let elsewhere = EntryFilter {
        reply_source: Some(ip("10.244.2.12")),
        ..base
    };
    let former = EntryFilter {
        original_port: Some(80),
        reply_source: Some(ip("10.244.2.11")),
        reply_port: Some(8080),
        ..base
    };
    assert_eq!(walk.state.delete(|entry| elsewhere.picks(entry)), 0);
    assert_eq!(walk.state.delete(|entry| former.picks(entry)), 1);
    assert_eq!(walk.state.delete(|entry| base.picks(entry)), 1);
    assert_eq!(
        walk.state
            .delete(|entry| EntryFilter::default().picks(entry)),
        1
    );
}

/// A client's error about an answer reaches the endpoint, about the packet that the endpoint sent.
#[test]
fn a_clients_error_reaches_the_endpoint() {
    let mut walk = Walk::new(web(&["10.244.2.11"]));
    walk.forwards(syn("10.244.1.5:40000", "10.96.0.40:80"));
    let (answer, _) = walk.forwards(syn_ack("10.244.2.11:8080", "10.244.1.5:40000"));
    assert_eq!(shown(&answer), "tcp 10.96.0.40:80 -> 10.244.1.5:40000");
    let (error, _) = walk.forwards(port_unreachable("10.244.1.5", &answer));
    let quoted = error.quoted_tuple().unwrap();
    assert_eq!(
        quoted.to_string(),
        "tcp 10.244.2.11:8080 -> 10.244.1.5:40000"
    );
    assert_eq!(error.bytes()[16..20], [10, 244, 2, 11]);
}
