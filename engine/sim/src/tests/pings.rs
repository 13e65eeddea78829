//! Echo requests, and what is read off a node's machine.

use super::*;
use crate::{Echo, EchoEnd};

fn ping(sim: &mut Sim, to: IpAddr) -> Vec<Echo> {
    sim.ping(&client(), to, 2, Duration::from_secs(4)).unwrap()
}

#[test]
fn one_a_second_until_all_are_answered() {
    let mut sim = cluster();
    let start = sim.now();
    let node = IpAddr::from([192, 168, 1, 2]);
    let seen = ping(&mut sim, node);
    assert_eq!(seen[1].sent.since(seen[0].sent), Duration::from_secs(1));
    for echo in &seen {
        let EchoEnd::Answered { from, ttl, .. } = echo.end else {
            panic!("{seen:?}");
        };
        assert_eq!((from, ttl), (node, 63), "over the client's own node");
    }
    assert!(sim.now().since(start) < Duration::from_secs(2));
    // PROXY-16: the rules of iptables mode leave an echo request to a ClusterIP alone, and nobody has the address.
    let vip = vip(&sim);
    let start = sim.now();
    let seen = ping(&mut sim, vip);
    assert!(
        seen.iter().all(|echo| echo.end == EchoEnd::Silence),
        "{seen:?}"
    );
    assert_eq!(sim.now().since(start), Duration::from_secs(5));
}

#[test]
fn what_passed_is_told_in_order_and_forgotten() {
    let mut sim = cluster();
    sim.enable_capture();
    ping(&mut sim, IpAddr::from([192, 168, 1, 2]));
    let passed = sim.passed(&client());
    let lines: Vec<&str> = passed.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(
        lines[0].contains("> 192.168.1.2: ICMP echo request, id "),
        "{lines:?}"
    );
    assert!(lines[1].contains("192.168.1.2 > 10.244.1."), "{lines:?}");
    let node = sim.passed(&Source::Node("node-a".to_owned()));
    assert_eq!(node.len(), 8, "in and out, there and back, twice");
    sim.forget_captures();
    assert!(sim.passed(&client()).is_empty());
}
