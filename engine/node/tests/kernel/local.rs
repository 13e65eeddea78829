//! What the node's own processes send: real sockets, as the test's process is one of the node's.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use netfilter::Ingress;
use ruleset::{Family, Protocol};
use smoltcp::wire::TcpControl;

use crate::lab::{Allowed, Fate, IMPATIENCE, Lab, PATIENCE, bytes};
use crate::packets::{answer, datagram, first, tcp};
use crate::site::Emission;

/// How long a process waits for a connection that nobody answers.
const CONNECT: Duration = Duration::from_millis(150);

impl Lab {
    /// Has a process of the node open a flow, and sees what becomes of it. If it is forwarded, the answer comes
    /// back to the process.
    #[track_caller]
    pub(crate) fn node_sends(&mut self, protocol: Protocol, to: SocketAddr) -> Fate {
        self.expect_silence();
        match protocol {
            Protocol::TCP => self.connect(to),
            _ => self.send_datagram(to),
        }
    }

    #[track_caller]
    fn send_datagram(&mut self, to: SocketAddr) -> Fate {
        let from = self.own_socket(Family::of(to.ip()));
        let packet = datagram(from, to, b"question");
        let server = self
            .served(&packet)
            .map(|at| quiet(UdpSocket::bind(at).unwrap()));
        let client = quiet(UdpSocket::bind(from).unwrap());
        client.connect(to).unwrap();
        // Whether rules stop it is told by an error here and by what happens.
        drop(client.send(b"question"));
        let silent = self.is_silent(&packet);
        let seen = self.wires.wait(if silent { IMPATIENCE } else { PATIENCE });
        let refused = matches!(client.recv(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::ConnectionRefused);
        let heard = server.and_then(|server| Some(server.recv_from(&mut [0; 64]).ok()?.1));
        let sent: Vec<_> = seen.iter().map(bytes).collect();
        let fate = self.follow(&packet, Ingress::Local, &seen, |one| {
            let allowed: Vec<_> = one.emission.iter().map(bytes).collect();
            sent == allowed && is_told(one, refused, heard)
        });
        if let Fate::Forwarded((interface, forwarded)) = &fate {
            let reply = answer(forwarded, true).expect("datagrams have answers");
            self.wires.inject(interface, &reply);
            let door = Ingress::Interface(interface);
            let taken = self.follow(&reply, door, &[], |one| {
                matches!(one.fate, Fate::Delivered(_))
            });
            let expected = datagram(to, from, b"answer").tuple();
            assert!(
                matches!(&taken, Fate::Delivered(packet) if packet.tuple() == expected),
                "{taken}"
            );
            let mut buffer = [0; 64];
            let length = client
                .recv(&mut buffer)
                .expect("the answer is for this socket");
            assert_eq!(&buffer[..length], b"answer");
        }
        fate
    }

    #[track_caller]
    fn connect(&mut self, to: SocketAddr) -> Fate {
        // Its port is known only when there is a connection, and of no consequence before.
        let guess = first(Protocol::TCP, self.own_socket(Family::of(to.ip())), to);
        let server = self.served(&guess).map(|at| TcpListener::bind(at).unwrap());
        let refusals = refusals_sent();
        let (outcome, seen) = self.shake_hands(to);
        // The error finds the socket busy with its SYN; the process would hear of it at the next one, in a second.
        let refused = refusals_sent() > refusals;
        let stream = outcome.ok();
        let opening = match &stream {
            Some(stream) => first(Protocol::TCP, stream.local_addr().unwrap(), to),
            None => guess,
        };
        let heard = match (&server, &stream) {
            (Some(server), Some(_)) if seen.is_empty() => Some(server.accept().unwrap().1),
            _ => None,
        };
        // Its SYN has options of its own: flows are compared.
        let flows = |sent: &[Emission]| -> Vec<_> {
            let flow = |(interface, packet): &Emission| (*interface, packet.tuple());
            sent.iter().map(flow).collect()
        };
        let fate = self.follow(&opening, Ingress::Local, &seen, |one| {
            flows(&seen) == flows(one.emission.as_slice()) && is_told(one, refused, heard)
        });
        if let Fate::Forwarded((interface, forwarded)) = &fate {
            let stream = stream.expect("the answer is for this socket");
            let acknowledged = self.wires.wait(PATIENCE);
            assert_eq!(flows(&acknowledged[..1]), [(*interface, forwarded.tuple())]);
            let flow = forwarded.tuple().expect("it is TCP");
            let (client, endpoint) = (flow.source_socket(), flow.destination_socket());
            // The other end gives up, so that nobody repeats anything later.
            let reset = tcp(endpoint, client, TcpControl::Rst, 5001, None);
            self.wires.inject(interface, &reset);
            drop(stream);
            self.wires.left();
        }
        self.forget(&opening);
        fate
    }

    /// Opens a connection; whoever is reached answers. Returns what came of it and the SYN that left the node.
    fn shake_hands(&mut self, to: SocketAddr) -> (std::io::Result<TcpStream>, Vec<Emission>) {
        std::thread::scope(|scope| {
            let opening = scope.spawn(|| TcpStream::connect_timeout(&to, CONNECT));
            let mut seen = Vec::new();
            while seen.is_empty() && !opening.is_finished() {
                seen = self.wires.wait(1);
            }
            if let Some((interface, syn)) = seen.first()
                && let Some(reply) = answer(syn, true)
            {
                self.wires.inject(interface, &reply);
            }
            let outcome = opening.join().expect("connecting does not panic");
            (outcome, seen)
        })
    }

    /// Where a process must listen to see a packet that may be for the node itself.
    fn served(&self, packet: &netfilter::Packet) -> Option<SocketAddr> {
        let allowed = self.allowed(packet, Ingress::Local, None);
        allowed.iter().find_map(|one| match &one.fate {
            Fate::Delivered(packet) => Some(packet.tuple()?.destination_socket()),
            _ => None,
        })
    }

    fn is_silent(&self, packet: &netfilter::Packet) -> bool {
        let allowed = self.allowed(packet, Ingress::Local, None);
        allowed.iter().all(|one| one.emission.is_none())
    }
}

/// Whether the process was told what it should be, and the one that it reached on the node saw whom it should.
fn is_told(one: &Allowed, refused: bool, heard: Option<SocketAddr>) -> bool {
    let source = match &one.fate {
        Fate::Delivered(packet) => packet.tuple().map(|tuple| tuple.source_socket()),
        _ => None,
    };
    heard == source && refused == matches!(one.fate, Fate::Refused(_))
}

/// How many times this node has told anybody, itself included, that something is unreachable.
fn refusals_sent() -> u64 {
    let read = |file| std::fs::read_to_string(file).expect("the kernel counts");
    let (v4, v6) = (read("/proc/net/snmp"), read("/proc/net/snmp6"));
    let mut icmp = v4
        .lines()
        .filter(|line| line.starts_with("Icmp:"))
        .map(str::split_ascii_whitespace);
    let (names, values) = (icmp.next(), icmp.next());
    let columns = names
        .into_iter()
        .flatten()
        .zip(values.into_iter().flatten());
    let rows = v6
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace));
    columns
        .chain(rows)
        .filter(|(name, _)| matches!(*name, "OutDestUnreachs" | "Icmp6OutDestUnreachs"))
        .map(|(_, count)| count.trim().parse::<u64>().expect("a number"))
        .sum()
}

/// Asking it never waits: what is for it is there already.
fn quiet(socket: UdpSocket) -> UdpSocket {
    socket.set_nonblocking(true).unwrap();
    socket
}
