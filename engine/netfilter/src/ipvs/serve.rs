//! A packet's way to a real server, and an answer's way back.
//!
//! **Source of the semantics.** `ip_vs_in`, `ip_vs_schedule`, `ip_vs_sched_persist`, `ip_vs_leave` and `ip_vs_out` in
//! Linux `net/netfilter/ipvs/ip_vs_core.c`; `ip_vs_nat_xmit` in `ip_vs_xmit.c`; PROXY-60, PROXY-61.
//!
//! A real server that is gone from a virtual server of TCP keeps the connections that it has, as one that kube-proxy
//! drains with the weight 0 does; one of UDP or SCTP loses them with the next packet (`expire_nodest_conn`). Where a
//! client stayed, it stays no longer (`expire_quiescent_template`).
//!
//! Deviation: ICMP errors about such connections are translated before routing, by conntrack. A client's stay ends at
//! its time, in a kernel not before its connections. In `sh` a draining real server keeps no bucket.

use std::net::SocketAddr;
use std::time::Duration;

use ruleset::ipvs::{ServerKey, VirtualServer};
use ruleset::xt::{CtState, RejectWith};
use ruleset::{NatTarget, Protocol};

use super::connections::{Stay, VirtualChange, VirtualConnection};
use super::schedule::Choice;
use super::tcp::{TcpPhase, TcpSign};
use crate::connection::{Connection, Fresh, Origin, Tracking};
use crate::entry::Direction;
use crate::eval::{Flight, Served, Stop};
use crate::state::{Change, ConnectionChange};
use crate::tuple::Side;
use crate::{Chooser, DropReason, Hook, RejectReason, Routing, Tracer, Tuple};

impl<R: Routing, C: Chooser, T: Tracer> Flight<'_, R, C, T> {
    /// Gives a client's packet to a real server, if it is for a virtual one. True when it is on its way there, and
    /// the present hook is over.
    ///
    /// # Errors
    /// When nobody takes the packet.
    pub(crate) fn serve(&mut self, hook: Hook) -> Result<bool, Stop> {
        let Some((flow, key)) = self.virtual_request() else {
            return Ok(false);
        };
        let known = self.state.virtual_connections().get(&flow, self.now);
        let known = known.copied().filter(|known| !self.reopens(known));
        let known = self.expire_nodest(&flow, known)?;
        let server = self.tables.virtual_server(&key);
        let connection = match (known, server) {
            (Some(known), _) => known,
            (None, None) => return Ok(false),
            (None, Some(server)) => self.schedule(&flow, &key, server)?,
        };
        self.follow_virtual(&flow, connection, TcpPhase::asked);
        let real = connection.real;
        self.adopt(&flow, real);
        if let Some(server) = server {
            let origin = server.real_servers.get(&real).and_then(|real| real.origin);
            self.tracer.served(&key, real, origin);
        }
        self.rewriting(|datagram| {
            datagram.rewrite(Side::Destination, real.ip(), Some(real.port()));
        });
        if self.is_local(real.ip()) {
            self.served = Served::Here;
            return Ok(false);
        }
        self.served = Served::Away;
        self.send_away(hook)?;
        Ok(true)
    }

    /// Gives an answer of a real server the address of the virtual one.
    pub(crate) fn serve_answer(&mut self) {
        let Tracking::Connection(connection) = &self.tracking else {
            return;
        };
        let is_answer = connection.direction == Direction::Reply
            && connection.progress.is_virtual
            && connection.state != CtState::Related;
        if !is_answer {
            return;
        }
        let asked = connection.original;
        let known = self.state.virtual_connections().get(&asked, self.now);
        if let Some(known) = known.copied() {
            self.follow_virtual(&asked, known, TcpPhase::answered);
        }
        let (address, port) = asked.side(Side::Destination);
        let present = self
            .datagram
            .content
            .flow()
            .map(|flow| flow.side(Side::Source));
        if present != Some((address, port)) {
            self.rewriting(|datagram| datagram.rewrite(Side::Source, address, port));
        }
    }

    /// What a client asks for, if a virtual server may have it.
    fn virtual_request(&self) -> Option<(Tuple, ServerKey)> {
        if self.served != Served::No {
            return None;
        }
        let flow = self.datagram.content.flow()?;
        flow.destination_port()?;
        let Tracking::Connection(connection) = &self.tracking else {
            return None;
        };
        if connection.direction == Direction::Reply {
            return None;
        }
        let key = ServerKey {
            protocol: flow.protocol(),
            address: flow.destination_socket(),
        };
        Some((flow, key))
    }

    /// `conn_reuse_mode`: a client's port that comes back while its last connection is still remembered.
    fn reopens(&self, known: &VirtualConnection) -> bool {
        known.phase == Some(TcpPhase::TimeWait) && TcpSign::begins(self.datagram.transport())
    }

    /// `expire_nodest_conn`: a connection whose real server is gone ends with its next packet. The packet is lost with
    /// it, unless conntrack has no entry of the connection any more (`ip_vs_conn_uses_old_conntrack`).
    fn expire_nodest(
        &mut self,
        flow: &Tuple,
        known: Option<VirtualConnection>,
    ) -> Result<Option<VirtualConnection>, Stop> {
        let Some(gone) = known.filter(|known| !self.is_there(known)) else {
            return Ok(known);
        };
        let over = Change::Virtual(VirtualChange::Over(*flow));
        self.effects.changes.push(over);
        if self.forget_connection() {
            return Err(self.discard(DropReason::RealServerGone(gone.server)));
        }
        Ok(None)
    }

    /// Whether a connection's real server still takes its packets.
    fn is_there(&self, known: &VirtualConnection) -> bool {
        let server = self.tables.virtual_server(&known.server);
        server.is_some_and(|server| {
            let is_drained = known.server.protocol == Protocol::TCP;
            is_drained || server.real_servers.contains_key(&known.real)
        })
    }

    /// Chooses a real server for a new connection.
    fn schedule(
        &mut self,
        flow: &Tuple,
        key: &ServerKey,
        server: &VirtualServer,
    ) -> Result<VirtualConnection, Stop> {
        if !begins(flow.protocol(), self.datagram.transport()) {
            let reason = RejectReason::UnknownConnection(*key);
            return Err(Stop::Refuse(reason, RejectWith::TcpReset));
        }
        let real = self.choose_real(flow, key, server).ok_or(Stop::Refuse(
            RejectReason::NoRealServer(*key),
            RejectWith::PortUnreachable,
        ))?;
        Ok(VirtualConnection {
            server: *key,
            real,
            phase: (flow.protocol() == Protocol::TCP).then_some(TcpPhase::None),
            expires: self.now,
        })
    }

    fn choose_real(
        &mut self,
        flow: &Tuple,
        key: &ServerKey,
        server: &VirtualServer,
    ) -> Option<SocketAddr> {
        let memory = self.state.virtual_connections();
        let client = flow.source();
        let stay = memory.stay(key, client, self.now).filter(|real| {
            let real = server.real_servers.get(real);
            server.persistence.is_some() && real.is_some_and(|real| real.weight > 0)
        });
        let choice = Choice {
            key,
            server,
            client,
            memory,
            now: self.now,
        };
        let (real, turn) = match stay {
            Some(real) => (real, None),
            None => {
                let pick = choice.pick(self.chooser)?;
                (pick.real, pick.turn)
            }
        };
        let turn = turn.map(|turn| VirtualChange::Turn(*key, turn));
        let stay = server.persistence.map(|seconds| {
            let expires = self.now + Duration::from_secs(seconds.get().into());
            VirtualChange::Stay(*key, client, Stay { real, expires })
        });
        let changes = turn.into_iter().chain(stay).map(Change::Virtual);
        self.effects.changes.extend(changes);
        Some(real)
    }

    /// Notes that a connection goes on. Conntrack remembers it no longer than IPVS does, which takes its entry away
    /// (`ip_vs_conn_drop_conntrack`).
    fn follow_virtual(
        &mut self,
        asked: &Tuple,
        mut known: VirtualConnection,
        step: impl FnOnce(TcpPhase, TcpSign) -> TcpPhase,
    ) {
        let sign = TcpSign::of(self.datagram.transport());
        known.phase = known.phase.map(|phase| step(phase, sign));
        known.expires = self.now + known.timeout();
        self.effects
            .changes
            .push(Change::Virtual(VirtualChange::Connection {
                at: self.now,
                tuple: *asked,
                connection: known,
            }));
        if let Tracking::Connection(connection) = &mut self.tracking {
            connection.progress.expires = connection.progress.expires.min(known.expires);
            if let Origin::Known(id) = connection.origin {
                let updated = ConnectionChange::Updated(id, connection.progress);
                self.effects.connection = Some(updated);
            }
        }
    }

    /// Tells conntrack where the connection goes (`ip_vs_update_conntrack`). An entry that says otherwise, from before
    /// the virtual server was there, gives way.
    fn adopt(&mut self, flow: &Tuple, real: SocketAddr) {
        let Tracking::Connection(connection) = &mut self.tracking else {
            return;
        };
        if let Origin::Known(id) = connection.origin {
            let goes_there = connection.reply.source_socket() == real;
            if goes_there && connection.progress.is_virtual {
                return;
            }
            self.effects.removed = Some(id);
            self.effects.connection = None;
            *connection = Connection {
                state: CtState::New,
                original: *flow,
                reply: flow.inverse(),
                origin: Origin::Fresh(Fresh::default()),
                ..*connection
            };
            connection.close(Side::Destination);
        }
        connection.progress.is_virtual = true;
        connection.redirect(NatTarget::from(real));
    }

    /// The entry of a connection that IPVS gives up goes with it. Whether there was one.
    fn forget_connection(&mut self) -> bool {
        if let Tracking::Connection(connection) = &self.tracking
            && let Origin::Known(id) = connection.origin
        {
            self.effects.removed = Some(id);
            self.effects.connection = None;
            return true;
        }
        false
    }
}

/// Whether a packet may begin a connection (`tcp_conn_schedule`, `sctp_conn_schedule`).
fn begins(protocol: Protocol, transport: &[u8]) -> bool {
    const SCTP_INIT: u8 = 1;
    match protocol {
        Protocol::TCP => TcpSign::begins(transport),
        Protocol::SCTP => transport.get(12) == Some(&SCTP_INIT),
        _ => true,
    }
}
