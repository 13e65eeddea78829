//! What virtual servers remember: connections, whose turn it is, and where clients stay.
//!
//! A connection past its time is as good as gone: nobody sees it or counts it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::SimTime;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ruleset::ipvs::{Drained, ServerKey, ServerLoad, VirtualServers};

use super::tcp::TcpPhase;
use crate::Tuple;

/// The memory of all virtual servers of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct VirtualConnections {
    /// By the client's packets. Never iterated in an order that shows, as none of these.
    connections: HashMap<Tuple, Kept, FixedState>,
    /// When to look whether connections are past their time: each stands here once, no later
    /// than that.
    due: BTreeMap<SimTime, Vec<Tuple>>,
    loads: HashMap<(ServerKey, SocketAddr), Load, FixedState>,
    turns: HashMap<ServerKey, Turn, FixedState>,
    /// Where a client stays (PROXY-32).
    stays: HashMap<(ServerKey, IpAddr), Stay, FixedState>,
}

/// A connection that a real server was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VirtualConnection {
    pub(super) server: ServerKey,
    pub(super) real: SocketAddr,
    /// For TCP only.
    pub(super) phase: Option<TcpPhase>,
    pub(super) expires: SimTime,
}

/// A connection, and when it is looked at next.
#[derive(Clone, Copy, Debug)]
struct Kept {
    connection: VirtualConnection,
    due: SimTime,
}

/// How many connections a real server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) active: u32,
    pub(super) inactive: u32,
}

/// Who was last in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(super) real: SocketAddr,
    /// What weight it takes to be next, in `wrr`.
    pub(super) level: u32,
}

/// Where a client's next connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(super) real: SocketAddr,
    pub(super) expires: SimTime,
}

/// A change that an evaluation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VirtualChange {
    /// A connection begins or goes on.
    Connection {
        at: SimTime,
        tuple: Tuple,
        connection: VirtualConnection,
    },
    /// A connection is over.
    Over(Tuple),
    /// Somebody had its turn.
    Turn(ServerKey, Turn),
    /// A client came.
    Stay(ServerKey, IpAddr, Stay),
}

impl VirtualConnection {
    /// UDP's patience (`udp_timeouts`); SCTP has TCP's of an established connection.
    const UDP_TIMEOUT: Duration = Duration::from_secs(300);

    pub(super) fn timeout(&self) -> Duration {
        match self.phase {
            Some(phase) => phase.timeout(),
            None if self.server.protocol == ruleset::Protocol::UDP => Self::UDP_TIMEOUT,
            None => TcpPhase::Established.timeout(),
        }
    }

    fn is_active(&self) -> bool {
        self.phase.is_none_or(TcpPhase::is_active)
    }

    fn place(&self) -> (ServerKey, SocketAddr) {
        (self.server, self.real)
    }
}

impl VirtualConnections {
    /// Whether no packet has met a virtual server.
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            connections,
            due,
            loads,
            turns,
            stays,
        } = self;
        connections.is_empty()
            && due.is_empty()
            && loads.is_empty()
            && turns.is_empty()
            && stays.is_empty()
    }

    /// The connection of a client's packet.
    pub(super) fn get(&self, tuple: &Tuple, now: SimTime) -> Option<&VirtualConnection> {
        let connection = &self.connections.get(tuple)?.connection;
        (connection.expires > now).then_some(connection)
    }

    pub(super) fn turn(&self, server: &ServerKey) -> Option<Turn> {
        self.turns.get(server).copied()
    }

    /// Where a client stays.
    pub(super) fn stay(
        &self,
        server: &ServerKey,
        client: IpAddr,
        now: SimTime,
    ) -> Option<SocketAddr> {
        let stay = self.stays.get(&(*server, client))?;
        (stay.expires > now).then_some(stay.real)
    }

    /// How many connections a real server has at an instant.
    pub(super) fn load(&self, server: &ServerKey, real: SocketAddr, now: SimTime) -> Load {
        let place = (*server, real);
        let mut load = self.loads.get(&place).copied().unwrap_or_default();
        let overdue = self.due.range(..=now).flat_map(|(_, tuples)| tuples);
        for Kept { connection, .. } in overdue.filter_map(|tuple| self.connections.get(tuple)) {
            if connection.expires <= now && connection.place() == place {
                *load.side(connection) -= 1;
            }
        }
        load
    }

    /// The same, for a listing.
    pub(crate) fn listed(&self, server: &ServerKey, real: SocketAddr, now: SimTime) -> ServerLoad {
        let Load { active, inactive } = self.load(server, real, now);
        ServerLoad { active, inactive }
    }

    /// The real servers of TCP that have connections at an instant. Their order is the set's own, whatever that of the
    /// connections.
    fn busy(&self, now: SimTime) -> BTreeSet<(ServerKey, SocketAddr)> {
        let kept = self.connections.values().map(|kept| kept.connection);
        let present = kept.filter(|one| one.phase.is_some() && one.expires > now);
        present.map(|connection| connection.place()).collect()
    }

    /// The real servers that virtual ones do not have any more, and that have connections at an instant (PROXY-61).
    ///
    /// Deviation: kube-proxy looks every minute whether the last connection of one is over, and takes it away then.
    pub(crate) fn drained(&self, servers: &VirtualServers, now: SimTime) -> Vec<Drained> {
        let busy = self.busy(now).into_iter().filter(|(key, real)| {
            let server = servers.get(key);
            server.is_some_and(|server| !server.real_servers.contains_key(real))
        });
        busy.map(|(server, address)| Drained { server, address })
            .collect()
    }

    /// The number of connections, those included that are past their time but not yet taken back.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn apply(&mut self, change: VirtualChange) {
        match change {
            VirtualChange::Connection {
                at,
                tuple,
                connection,
            } => {
                self.expire(at);
                let before = self.connections.get(&tuple).copied();
                let due = match before {
                    Some(before) => before.due,
                    None => {
                        let due = self.due.entry(connection.expires).or_default();
                        due.push(tuple);
                        connection.expires
                    }
                };
                self.connections.insert(tuple, Kept { connection, due });
                let load = self.loads.entry(connection.place()).or_default();
                *load.side(&connection) += 1;
                if let Some(before) = before {
                    self.count_out(&before.connection);
                }
            }
            VirtualChange::Over(tuple) => {
                if let Some(Kept { connection, due }) = self.connections.remove(&tuple) {
                    self.count_out(&connection);
                    if let Some(tuples) = self.due.get_mut(&due) {
                        tuples.retain(|one| *one != tuple);
                    }
                }
            }
            VirtualChange::Turn(server, turn) => {
                self.turns.insert(server, turn);
            }
            VirtualChange::Stay(server, client, stay) => {
                self.stays.insert((server, client), stay);
            }
        }
    }

    /// Takes back the connections that are past their time.
    pub(crate) fn expire(&mut self, now: SimTime) {
        while let Some(entry) = self.due.first_entry()
            && *entry.key() <= now
        {
            for tuple in entry.remove() {
                let Some(kept) = self.connections.get_mut(&tuple) else {
                    continue;
                };
                kept.due = kept.connection.expires;
                if kept.due > now {
                    self.due.entry(kept.due).or_default().push(tuple);
                    continue;
                }
                let connection = kept.connection;
                self.connections.remove(&tuple);
                self.count_out(&connection);
            }
        }
    }

    /// The same, and forgets the clients that may go elsewhere by now.
    pub(crate) fn tidy(&mut self, now: SimTime) {
        self.expire(now);
        self.stays.retain(|_, stay| stay.expires > now);
    }

    /// Keeps what concerns the servers that a predicate picks. Their connections stay until a packet comes.
    pub(crate) fn retain(&mut self, keep: impl Fn(&ServerKey) -> bool) {
        self.turns.retain(|server, _| keep(server));
        self.stays.retain(|(server, _), _| keep(server));
    }

    fn count_out(&mut self, connection: &VirtualConnection) {
        if let Some(load) = self.loads.get_mut(&connection.place()) {
            *load.side(connection) -= 1;
            if *load == Load::default() {
                self.loads.remove(&connection.place());
            }
        }
    }
}

impl Load {
    /// The number that a connection is counted in.
    fn side(&mut self, connection: &VirtualConnection) -> &mut u32 {
        match connection.is_active() {
            true => &mut self.active,
            false => &mut self.inactive,
        }
    }
}

#[cfg(test)]
mod tests {
    use ruleset::Protocol;

    use super::*;

    fn at(seconds: u64) -> SimTime {
        SimTime::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn connections_are_counted_as_long_as_they_last() {
        let address = "10.0.0.1:80".parse().unwrap();
        let protocol = Protocol::TCP;
        let server = ServerKey { protocol, address };
        let real = "10.1.0.1:80".parse().unwrap();
        let tuple = Tuple::new(protocol, "10.2.0.1:999".parse().unwrap(), address);
        let put = |table: &mut VirtualConnections, now, phase: TcpPhase| {
            let connection = VirtualConnection {
                server,
                real,
                phase: Some(phase),
                expires: at(now) + phase.timeout(),
            };
            table.apply(VirtualChange::Connection {
                at: at(now),
                tuple,
                connection,
            });
        };
        let mut table = VirtualConnections::default();
        put(&mut table, 0, TcpPhase::SynReceived);
        put(&mut table, 1, TcpPhase::Established);
        let active = |active, inactive| Load { active, inactive };
        assert_eq!(table.load(&server, real, at(1)), active(1, 0));
        assert_eq!(table.load(&server, real, at(900)), active(1, 0));
        assert_eq!(table.load(&server, real, at(901)), active(0, 0));
        assert!(table.get(&tuple, at(901)).is_none());
        put(&mut table, 2, TcpPhase::FinWait);
        assert_eq!(table.load(&server, real, at(3)), active(0, 1));
        table.expire(at(121));
        assert_eq!(table.len(), 1);
        table.expire(at(122));
        assert_eq!(table.len(), 0);
        assert_eq!(table.load(&server, real, at(122)), active(0, 0));
    }

    #[test]
    fn who_is_gone_is_drained_while_somebody_talks_to_it() {
        let address = "10.0.0.1:80".parse().unwrap();
        let text = "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 1\n-A -u 10.0.0.1:80 -s rr\n";
        let servers = ruleset::ipvs::parse_servers(text).unwrap();
        let mut table = VirtualConnections::default();
        let mut give = |client: &str, protocol, real: &str| {
            let tuple = Tuple::new(protocol, client.parse().unwrap(), address);
            let phase = (protocol == Protocol::TCP).then_some(TcpPhase::Established);
            let server = ServerKey { protocol, address };
            let mut connection = VirtualConnection {
                server,
                real: real.parse().unwrap(),
                phase,
                expires: at(0),
            };
            connection.expires = at(0) + connection.timeout();
            table.apply(VirtualChange::Connection {
                at: at(0),
                tuple,
                connection,
            });
            Drained {
                server,
                address: connection.real,
            }
        };
        let gone = give("10.2.0.1:999", Protocol::TCP, "10.1.0.1:80");
        give("10.2.0.2:999", Protocol::TCP, "10.1.0.1:80");
        // It is there, and those of UDP go at once.
        give("10.2.0.3:999", Protocol::TCP, "10.1.0.2:80");
        give("10.2.0.4:999", Protocol::UDP, "10.1.0.1:80");
        assert_eq!(table.drained(&servers, at(899)), [gone]);
        assert_eq!(table.drained(&servers, at(900)), []);
        // Nor is anybody of a virtual server that is gone itself.
        assert_eq!(table.drained(&VirtualServers::new(), at(1)), []);
    }

    #[test]
    fn one_that_is_over_counts_no_more() {
        let address = "10.0.0.1:80".parse().unwrap();
        let protocol = Protocol::UDP;
        let server = ServerKey { protocol, address };
        let real = "10.1.0.1:80".parse().unwrap();
        let tuple = Tuple::new(protocol, "10.2.0.1:999".parse().unwrap(), address);
        let mut connection = VirtualConnection {
            server,
            real,
            phase: None,
            expires: at(300),
        };
        let mut table = VirtualConnections::default();
        let put = |connection, now| VirtualChange::Connection {
            at: at(now),
            tuple,
            connection,
        };
        table.apply(put(connection, 0));
        table.apply(VirtualChange::Over(tuple));
        assert!(table.get(&tuple, at(1)).is_none());
        connection.expires = at(310);
        table.apply(put(connection, 10));
        assert_eq!(table.load(&server, real, at(10)).active, 1);
        table.expire(at(310));
        assert_eq!(table.load(&server, real, at(310)), Load::default());
    }
}
