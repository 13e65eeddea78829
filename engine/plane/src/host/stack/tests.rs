//! Tests of one host.

use proptest::prelude::*;

use smoltcp::wire::TcpControl;

use super::*;
use crate::segment::{tcp_segment, tcp_syn, udp_datagram};

fn listening_stack() -> Stack {
    let addresses = vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
    let mut stack = Stack::new(HostId(0), addresses, 1500, 7);
    stack.listen(Protocol::TCP, 80).unwrap();
    stack.listen(Protocol::UDP, 53).unwrap();
    stack
}

/// What a stack sends when it receives a packet.
fn answers(stack: &mut Stack, packet: Vec<u8>) -> Vec<Vec<u8>> {
    let mut supplies = Supplies::new(1500);
    stack.receive(SimTime::ZERO, packet, &mut supplies, &mut Vec::new());
    supplies.take_packets()
}

fn some_packet(v6: bool, tcp: bool, port: u16) -> Vec<u8> {
    let [from, to]: [SocketAddr; 2] = match v6 {
        false => [format!("10.0.0.1:{port}"), format!("10.0.0.2:{port}")],
        true => [format!("[fd00::1]:{port}"), format!("[fd00::2]:{port}")],
    }
    .map(|end| end.parse().unwrap());
    match tcp {
        true => tcp_syn(from, to),
        false => udp_datagram(from, to, b"hello"),
    }
    .unwrap()
}

#[test]
fn closed_udp_port_is_unreachable_in_both_families() {
    for v6 in [false, true] {
        let packet = some_packet(v6, false, 54);
        let sent = Segment::parse(&packet).unwrap().flow;
        let [answer] = &answers(&mut listening_stack(), packet)[..] else {
            panic!("one answer");
        };
        let Some(Icmp::Error { flow, error }) = Icmp::parse(answer) else {
            panic!("an ICMP error");
        };
        assert_eq!(error, SocketError::Refused);
        assert_eq!((flow.local, flow.remote), (sent.remote, sent.local));
    }
}

#[test]
fn ports_are_used_in_turn() {
    let (mut stack, mut supplies) = (listening_stack(), Supplies::new(1500));
    let remote = "10.0.0.1:80".parse().unwrap();
    let mut port_of = |stack: &mut Stack| {
        let (socket, begun) = stack.connect(SimTime::ZERO, remote, &mut supplies);
        assert_eq!(begun, Ok(()));
        let port = stack.local_address(socket).unwrap().port();
        stack.abort(socket);
        stack.run(SimTime::ZERO, socket, &mut supplies, &mut Vec::new());
        port
    };
    let ports: Vec<u16> = (0..28_233).map(|_| port_of(&mut stack)).collect();
    assert_eq!(
        (ports[0], ports[28_231], ports[28_232]),
        (32_768, 60_999, 32_768)
    );
}

#[test]
fn ports_run_out() {
    let mut stack = listening_stack();
    let remote = "10.0.0.1:80".parse().unwrap();
    for _ in EPHEMERAL {
        assert_eq!(stack.udp_socket(Some(remote)).1, Ok(()));
    }
    assert_eq!(stack.udp_socket(None).1, Err(SocketError::PortsExhausted));
}

/// A client gives up, and before it is run the server's SYN-ACK arrives: to its kernel the socket is gone already.
#[test]
fn an_answer_to_who_has_just_given_up_is_reset() {
    for end in [Stack::abort, Stack::close] {
        let (mut stack, mut supplies) = (listening_stack(), Supplies::new(1500));
        let remote: SocketAddr = "10.0.0.1:80".parse().unwrap();
        let (socket, _) = stack.connect(SimTime::ZERO, remote, &mut supplies);
        let local = stack.local_address(socket).unwrap();
        stack.run(SimTime::ZERO, socket, &mut supplies, &mut Vec::new());
        let [syn] = &supplies.take_packets()[..] else {
            panic!("a SYN");
        };
        assert!(Segment::parse(syn).unwrap().flags.syn);
        end(&mut stack, socket);
        let syn_ack = tcp_segment(remote, local, TcpControl::Syn, 70, Some(71)).unwrap();
        let mut events = Vec::new();
        let reaction = stack.receive(SimTime::ZERO, syn_ack, &mut supplies, &mut events);
        assert!(matches!(reaction, Reaction::Over(_)), "{reaction:?}");
        assert_eq!(events, [PlaneEvent::Closed { socket }]);
        let [reset] = &supplies.take_packets()[..] else {
            panic!("a reset");
        };
        let reset = Segment::parse(reset).unwrap();
        assert!(reset.flags.rst);
        assert_eq!((reset.flow.remote, reset.flow.local), (local, remote));
        supplies.lend();
        assert_eq!(stack.socket_count(), 1, "the UDP socket");
    }
}

proptest! {
    /// Whatever arrives, the stack neither panics nor stops answering others.
    #[test]
    fn hostile_packets_do_no_harm(
        v6: bool,
        tcp: bool,
        port in prop_oneof![Just(80_u16), Just(53), any::<u16>()],
        damage in prop::collection::vec((0_usize..64, any::<u8>()), 0..6),
        cut in 0_usize..80,
    ) {
        let mut stack = listening_stack();
        let mut packet = some_packet(v6, tcp, port);
        for (at, byte) in damage {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        packet.truncate(cut.max(1));
        answers(&mut stack, packet);
        let good = tcp_syn("10.0.0.9:9".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let good = good.unwrap();
        prop_assert!(!answers(&mut stack, good).is_empty());
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        answers(&mut listening_stack(), bytes);
    }
}

#[test]
fn who_listens_at_one_address_is_reached_there_alone() {
    let mut stack = listening_stack();
    let at = |address: [u8; 4]| SocketAddr::from((address, 81));
    for protocol in [Protocol::TCP, Protocol::UDP] {
        stack.listen_at(protocol, at([127, 0, 0, 1])).unwrap();
        assert!(stack.listen_at(protocol, at([127, 0, 0, 1])).is_err());
        assert!(stack.listen(protocol, 81).is_err(), "not at all of them");
        stack.listen_at(protocol, at([127, 0, 0, 2])).unwrap();
        stack.listen_at(protocol, at([127, 0, 0, 3])).unwrap();
        stack.unlisten(protocol, 81, Some([127, 0, 0, 3].into()));
    }
    let mut is_taken = |from: [u8; 4], to: [u8; 4]| {
        let syn = tcp_syn(at(from), at(to)).unwrap();
        let answered = answers(&mut stack, syn);
        let flags = Segment::parse(&answered[0]).unwrap().flags;
        let datagram = udp_datagram(at(from), at(to), b"hello").unwrap();
        let complaints = answers(&mut stack, datagram);
        (flags.syn && !flags.rst, complaints.is_empty())
    };
    assert_eq!(is_taken([10, 0, 0, 9], [10, 0, 0, 2]), (false, false));
    assert_eq!(is_taken([127, 0, 0, 1], [127, 0, 0, 1]), (true, true));
    assert_eq!(is_taken([127, 0, 0, 1], [127, 0, 0, 2]), (true, true));
    assert_eq!(is_taken([127, 0, 0, 1], [127, 0, 0, 3]), (false, false));
}
