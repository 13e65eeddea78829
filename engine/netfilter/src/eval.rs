//! A packet's way through the hooks of a node.
//!
//! **What.** [`eval`] walks one packet from where it enters to where it ends, unless the short way (`passage`) gives the
//! same without the walk. **Why.** The walk reads the node's state and never changes it. **Source of the semantics.**
//! Linux `ip_input.c`, `ip_forward.c`, `ip_output.c` and their IPv6 twins; `nf_nat_inet_fn`,
//! `nf_nat_icmp_reply_translation`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base::SimTime;
use ruleset::Family;
use ruleset::xt::{CtState, NatTarget, Policy, RejectWith};

use crate::connection::{Look, Origin, PortWish, SourceWish, Tracking, track};
use crate::entry::{Direction, Entry};
use crate::hook::{Called, Step};
use crate::nft::{DEPTH_MAX, Place, Registers};
use crate::packet::{Datagram, Headers};
use crate::passage::pass;
use crate::reply::{Refusal, is_unicast, refuse};
use crate::state::ConnectionChange;
use crate::tables::FamilyTables;
use crate::tuple::Side;
use crate::{
    ChainRef, Chooser, Doubt, DropReason, Effects, Evaluation, Hook, Hop, Ingress, InterfaceName,
    LOOPBACK, NodeState, NodeTables, Packet, Question, RejectReason, RouteDecision, Routing,
    RulePlace, RuleRef, TableVerdict, Tracer, Tuple, Verdict,
};

/// Takes one packet through a node. Nothing changes before the effects are committed.
///
/// Any bytes are taken: what is no packet is dropped as malformed.
///
/// Deviation: what the node itself answers (errors, resets) does not pass its output and postrouting hooks.
/// Packets to groups and to everybody are dropped.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another thing that the decision depends on, and callers have them apart"
)]
pub fn eval<T: Tracer>(
    tables: &NodeTables,
    state: &NodeState,
    routing: &impl Routing,
    packet: Packet,
    ingress: Ingress<'_>,
    now: SimTime,
    chooser: &mut impl Chooser,
    tracer: &mut T,
) -> Evaluation {
    let mut datagram = match Datagram::parse(packet) {
        Ok(datagram) => datagram,
        Err(malformed) => {
            let reason = DropReason::Malformed(malformed);
            tracer.discarded(&reason);
            return Evaluation {
                verdict: Verdict::Drop(reason),
                effects: Effects::default(),
                rules_tested: 0,
            };
        }
    };
    let tables = tables.family(datagram.headers.family());
    let mut look = Look::Ahead;
    if !T::WATCHES
        && let Ingress::Interface(_) = ingress
        && let Some(unwatched) = tables.unwatched()
    {
        look = Look::at(&datagram, state, now);
        if let Look::Done(Some(found)) = look
            && let Some(evaluation) = pass(found, unwatched, tables, routing, &mut datagram, now)
        {
            return evaluation;
        }
    }
    fly(
        tables, state, routing, datagram, look, ingress, now, chooser, tracer,
    )
}

/// Takes a packet through the hooks. It stands apart so that packets on the short way pay nothing for what a flight
/// needs.
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "they are those of `eval`")]
fn fly<'a>(
    tables: &'a FamilyTables,
    state: &'a NodeState,
    routing: &impl Routing,
    datagram: Datagram,
    look: Look<'a>,
    ingress: Ingress<'_>,
    now: SimTime,
    chooser: &mut impl Chooser,
    tracer: &mut impl Tracer,
) -> Evaluation {
    let mut flight = Flight {
        tables,
        state,
        routing,
        chooser,
        tracer,
        now,
        received: Received {
            flow: datagram.content.flow(),
            source: datagram.headers.source,
            destination: datagram.headers.destination,
        },
        datagram,
        look,
        tracking: Tracking::Unseen,
        effects: Effects::default(),
        mark: 0,
        in_interface: "",
        assumes_arrival: false,
        hop: None,
        assumes_way: false,
        doubt: None,
        callers: Vec::new(),
        nft_callers: [Place::default(); DEPTH_MAX],
        registers: Registers::default(),
        rules_tested: 0,
        served: Served::No,
    };
    let end = match ingress {
        Ingress::Interface(name) => flight.arrive(name),
        Ingress::Local => flight.originate(),
    };
    flight.conclude(end)
}

/// A packet on its way, and all that decides about it.
pub(crate) struct Flight<'a, R, C, T> {
    pub(crate) tables: &'a FamilyTables,
    pub(crate) state: &'a NodeState,
    pub(crate) routing: &'a R,
    pub(crate) chooser: &'a mut C,
    pub(crate) tracer: &'a mut T,
    pub(crate) now: SimTime,
    received: Received,
    pub(crate) datagram: Datagram,
    /// Of the packet as it came.
    look: Look<'a>,
    pub(crate) tracking: Tracking,
    pub(crate) effects: Effects,
    pub(crate) mark: u32,
    /// Empty while the node sends what it made.
    pub(crate) in_interface: &'a str,
    /// Whether that is no more than a guess.
    pub(crate) assumes_arrival: bool,
    /// The way out, at hooks that have one. A flight that ends without it ends on the node itself.
    hop: Option<Hop>,
    /// Whether its interface is no more than a guess.
    pub(crate) assumes_way: bool,
    /// What a rule asked last that stays open: the flight ends there.
    pub(crate) doubt: Option<Box<Doubt>>,
    /// Where jumps in the present table of iptables return to: chain and rule.
    pub(crate) callers: Vec<(usize, usize)>,
    /// The same for nftables. Tables with more jumps, one in the other, are not loaded.
    pub(crate) nft_callers: [Place; DEPTH_MAX],
    /// What base chains of nftables ask for most; none where the packet was changed since.
    pub(crate) registers: Registers,
    /// As a kernel counts them.
    pub(crate) rules_tested: u64,
    /// What a virtual server has done with it.
    pub(crate) served: Served,
}

/// What a virtual server has done with a packet; it does so once (`ipvs_property`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// Nothing.
    No,
    /// It has gone to a process of the node.
    Here,
    /// It is on its way to elsewhere.
    Away,
}

/// The packet as it came, for answers to its sender.
#[derive(Clone, Copy)]
struct Received {
    flow: Option<Tuple>,
    source: IpAddr,
    destination: IpAddr,
}

/// Why a flight ends before its destination.
pub(crate) enum Stop {
    Drop(DropReason),
    Reject(RulePlace, RejectWith),
    /// A virtual server does.
    Refuse(RejectReason, RejectWith),
    TtlExpired,
    TooBig {
        mtu: usize,
    },
    Unknown(Box<Doubt>),
}

impl<'a, R: Routing, C: Chooser, T: Tracer> Flight<'a, R, C, T> {
    /// The way of a packet from outside.
    fn arrive(&mut self, interface: &'a str) -> Result<(), Stop> {
        self.in_interface = interface;
        self.assumes_arrival = self.routing.assumes_arrival();
        self.hook(Hook::Prerouting)?;
        self.refuse_martian()?;
        if self.is_local(self.datagram.headers.destination) {
            self.tracer.routed(RouteDecision::Local);
            return self.hook(Hook::Input);
        }
        self.hop = Some(self.route()?);
        self.lower_ttl()?;
        self.hook(Hook::Forward)?;
        self.hook(Hook::Postrouting)
    }

    /// The way of a packet that the node made. It needs a route before its destination is translated, and is
    /// routed again afterwards. To the node itself it goes over loopback, where conntrack knows it already.
    fn originate(&mut self) -> Result<(), Stop> {
        self.hop = Some(self.route()?);
        let before = self.datagram.headers.destination;
        self.hook(Hook::Output)?;
        if self.datagram.headers.destination != before && self.served != Served::Away {
            self.hop = Some(self.route()?);
        }
        self.refuse_too_big()?;
        self.hook(Hook::Postrouting)?;
        if self.is_local(self.datagram.headers.destination) {
            self.hop = None;
            self.assumes_way = false;
            self.in_interface = LOOPBACK;
            self.hook(Hook::Prerouting)?;
            self.hook(Hook::Input)?;
        }
        Ok(())
    }

    /// Gives the packet and the effects away: the flight is over.
    fn conclude(&mut self, end: Result<(), Stop>) -> Evaluation {
        let verdict = match end {
            Ok(()) => {
                let packet = self.datagram.take_packet();
                match self.hop {
                    None => Verdict::Deliver(packet),
                    Some(Hop { interface, .. }) => Verdict::Forward { packet, interface },
                }
            }
            Err(Stop::Drop(reason)) => Verdict::Drop(reason),
            Err(Stop::Reject(place, with)) => match self.answer(Refusal::Reject(with)) {
                Some(reply) => Verdict::Reject {
                    reply,
                    reason: RejectReason::Rule { place, with },
                },
                None => Verdict::Drop(DropReason::RejectedSilently(place)),
            },
            Err(Stop::Refuse(reason, with)) => match self.answer(Refusal::Reject(with)) {
                Some(reply) => Verdict::Reject { reply, reason },
                None => Verdict::Drop(DropReason::RefusedSilently(reason)),
            },
            Err(Stop::TtlExpired) => match self.answer(Refusal::TtlExpired) {
                Some(reply) => Verdict::Reject {
                    reply,
                    reason: RejectReason::TtlExpired,
                },
                None => Verdict::Drop(DropReason::TtlExpired),
            },
            Err(Stop::TooBig { mtu }) => match self.answer(Refusal::TooBig { mtu }) {
                Some(reply) => Verdict::Reject {
                    reply,
                    reason: RejectReason::TooBig { mtu },
                },
                None => Verdict::Drop(DropReason::TooBig { mtu }),
            },
            Err(Stop::Unknown(doubt)) => Verdict::Unknown(doubt),
        };
        Evaluation {
            verdict,
            effects: std::mem::take(&mut self.effects),
            rules_tested: self.rules_tested,
        }
    }

    pub(crate) fn is_local(&self, address: IpAddr) -> bool {
        is_own(self.tables, self.routing, address)
    }

    pub(crate) fn out_interface(&self) -> &str {
        self.hop.as_ref().map_or("", |hop| hop.interface.as_str())
    }

    fn refuse_martian(&mut self) -> Result<(), Stop> {
        let is_answer = matches!(
            &self.tracking,
            Tracking::Connection(connection) if connection.direction == Direction::Reply
        );
        let Headers {
            source,
            destination,
            ..
        } = self.datagram.headers;
        if is_martian(self.tables, self.routing, source, destination, is_answer) {
            return Err(self.discard(DropReason::Martian));
        }
        Ok(())
    }

    /// `ip_exceeds_mtu`.
    ///
    /// Deviation: a packet that may be fragmented is refused like one that may not be.
    fn refuse_too_big(&self) -> Result<(), Stop> {
        let bytes = &self.datagram.bytes;
        let way = self.hop.filter(|_| self.routing.has_narrow_ways());
        let mtu = way.and_then(|hop| self.routing.mtu(hop.interface, bytes));
        match mtu {
            Some(mtu) if bytes.len() > mtu => Err(Stop::TooBig { mtu }),
            _ => Ok(()),
        }
    }

    /// The way to the destination as it is now.
    ///
    /// Deviation: Linux answers with "network unreachable" when there is no route. Nodes have a default route,
    /// so no route stands for a neighbour that does not answer, and the packet is lost silently (DBG-71).
    fn route(&mut self) -> Result<Hop, Stop> {
        let destination = self.datagram.headers.destination;
        if self.is_local(destination) {
            self.tracer.routed(RouteDecision::Local);
            self.assumes_way = false;
            return Ok(Hop {
                interface: InterfaceName::literal(LOOPBACK),
                source_address: destination,
            });
        }
        match self.routing.route(destination) {
            Some(hop) => {
                self.tracer.routed(RouteDecision::Out(hop.interface));
                self.assumes_way = self.routing.assumes_way(destination);
                Ok(hop)
            }
            None => {
                self.tracer.routed(RouteDecision::Unreachable);
                Err(Stop::Drop(DropReason::NoRoute))
            }
        }
    }

    fn hook(&mut self, hook: Hook) -> Result<(), Stop> {
        self.tracer.hook(hook);
        for step in self.tables.steps(hook) {
            match step {
                Step::Call { called, idle, .. } => match idle.rules(self.tracking.state()) {
                    Some(rules) if !T::WATCHES => self.rules_tested += u64::from(rules),
                    _ => drop(self.call(*called)?),
                },
                Step::Conntrack => self.find_connection()?,
                Step::Nat(side) => self.translate(hook, *side)?,
                Step::Confirm => self.confirm(),
                Step::ServeAnswer => self.serve_answer(),
                Step::Serve => {
                    if self.serve(hook)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends a packet to a real server elsewhere: it leaves as if the node had made it (`ip_vs_nat_send_or_cont`).
    pub(crate) fn send_away(&mut self, from: Hook) -> Result<(), Stop> {
        self.hop = Some(self.route()?);
        self.lower_ttl()?;
        self.in_interface = "";
        self.assumes_arrival = false;
        self.hook(Hook::Output)?;
        match from {
            // Who made it goes on from there.
            Hook::Output => Ok(()),
            _ => self.hook(Hook::Postrouting),
        }
    }

    /// What forwarding asks of a packet that has its way: that it may go on, and that it fits.
    fn lower_ttl(&mut self) -> Result<(), Stop> {
        let ttl = self.datagram.headers.ttl;
        if ttl <= 1 {
            return Err(Stop::TtlExpired);
        }
        self.refuse_too_big()?;
        self.datagram.set_ttl(ttl - 1);
        Ok(())
    }

    fn call(&mut self, called: Called) -> Result<TableVerdict, Stop> {
        let tables = self.tables;
        match called {
            Called::Xt { table, chain } => self.run_table(tables.xt(table), chain),
            Called::Nft { table, chain } => self.run_base_chain(tables.nft(table), chain),
        }
    }

    /// No rule of a chain that the kernel called decides: its policy does.
    pub(crate) fn fall_off(&mut self, base: ChainRef<'_>) -> Result<TableVerdict, Stop> {
        let policy = base.policy();
        self.tracer.verdict(base, TableVerdict::Policy(policy));
        match policy {
            Policy::Accept => Ok(TableVerdict::Policy(policy)),
            Policy::Drop => Err(Stop::Drop(DropReason::Policy(base.place()))),
        }
    }

    /// Finds the connection, once: a packet on loopback comes by twice.
    fn find_connection(&mut self) -> Result<(), Stop> {
        if !matches!(self.tracking, Tracking::Unseen) {
            return Ok(());
        }
        let (datagram, look, effects) = (&self.datagram, self.look, &mut self.effects);
        let found = track(datagram, look, self.state, self.now, effects);
        self.tracking = found.map_err(|reason| self.discard(reason))?;
        let original = match &self.tracking {
            Tracking::Connection(connection) => Some(&connection.original),
            Tracking::Unseen | Tracking::Invalid | Tracking::Untracked => None,
        };
        self.tracer.tracked(self.tracking.state(), original);
        Ok(())
    }

    /// `notrack`: without effect once conntrack has looked.
    pub(crate) fn exempt(&mut self) {
        if matches!(self.tracking, Tracking::Unseen) {
            self.tracking = Tracking::Untracked;
            self.tracer.tracked(CtState::Untracked, None);
        }
    }

    /// A new connection is entered once its packet has passed all rules.
    fn confirm(&mut self) {
        if let Tracking::Connection(connection) = &self.tracking
            && let Origin::Fresh(_) = connection.origin
        {
            let entry = Entry::new(connection.original, connection.reply, connection.progress);
            self.effects.connection = Some(ConnectionChange::Created(entry));
        }
    }

    /// Decides the translation of one side, if that is still open, and applies it.
    fn translate(&mut self, hook: Hook, side: Side) -> Result<(), Stop> {
        let Tracking::Connection(connection) = &self.tracking else {
            return Ok(());
        };
        if connection.state == CtState::Related {
            self.translate_error(side);
            return Ok(());
        }
        if connection.is_open(side) {
            self.decide(hook, side)?;
        }
        let Tracking::Connection(connection) = &self.tracking else {
            return Ok(());
        };
        if connection.is_served(side) {
            return Ok(());
        }
        let (address, port) = connection.answer().answered_side(side);
        let present = self.datagram.content.flow().map(|flow| flow.side(side));
        if present != Some((address, port)) {
            self.rewriting(|datagram| datagram.rewrite(side, address, port));
        }
        Ok(())
    }

    /// Asks the chains that translate about one side of a new connection, until one does. Only its first packet
    /// comes here (PROXY-72).
    fn decide(&mut self, hook: Hook, side: Side) -> Result<(), Stop> {
        let mut translation = None;
        for called in self.tables.nat(hook) {
            let verdict = self.call(*called)?;
            if verdict.translates() {
                translation = Some(verdict);
                break;
            }
        }
        let destination = match translation {
            Some(TableVerdict::Dnat(to)) => Some(to),
            Some(TableVerdict::Redirect { port }) => Some(NatTarget {
                address: self.own_address(hook)?,
                port,
            }),
            _ => None,
        };
        let source = match translation {
            Some(TableVerdict::Masquerade { random_fully }) => Some(SourceWish {
                address: self.outgoing_address()?,
                port: port_wish(None, random_fully),
            }),
            Some(TableVerdict::Snat { to, random_fully }) => Some(SourceWish {
                address: to.address,
                port: port_wish(to.port, random_fully),
            }),
            _ => None,
        };
        let (state, now, removed) = (self.state, self.now, self.effects.removed);
        let Tracking::Connection(connection) = &mut self.tracking else {
            return Ok(());
        };
        connection.close(side);
        match side {
            Side::Destination => {
                if let Some(to) = destination {
                    connection.redirect(to);
                }
                Ok(())
            }
            Side::Source => {
                let taken = |reply: &Tuple| {
                    let found = state.lookup(reply, now);
                    found.is_some_and(|(id, ..)| Some(id) != removed)
                };
                let chosen = connection.choose_source(source, taken, self.chooser);
                chosen.map_err(|reason| self.discard(reason))
            }
        }
    }

    /// The node's own address on the packet's way out.
    pub(crate) fn way_address(&self) -> Option<IpAddr> {
        self.hop.as_ref().map(|hop| hop.source_address)
    }

    /// What a masqueraded connection comes from.
    fn outgoing_address(&mut self) -> Result<IpAddr, Stop> {
        let family = self.datagram.headers.family();
        let address = self.hop.as_ref().map(|hop| hop.source_address);
        address
            .filter(|address| Family::of(*address) == family)
            .ok_or_else(|| self.discard(DropReason::NoSourceAddress))
    }

    /// What a redirected connection goes to (`nf_nat_redirect`).
    ///
    /// Deviation: of the incoming interface's addresses Linux takes the first; here it is the one that answers to
    /// the packet's sender come from.
    fn own_address(&mut self, hook: Hook) -> Result<IpAddr, Stop> {
        let source = self.datagram.headers.source;
        let address = match (hook, Family::of(source)) {
            (Hook::Output, Family::V4) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            (Hook::Output, Family::V6) => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            (_, family) => {
                let way_back = self.routing.route(source).map(|hop| hop.source_address);
                way_back.filter(|address| Family::of(*address) == family)
            }
        };
        address.ok_or_else(|| self.discard(DropReason::NoLocalAddress))
    }

    /// Translates an ICMP error like the packets that go its way, and the packet it quotes like those that come
    /// against it, so that the receiver recognises its own packet.
    fn translate_error(&mut self, side: Side) {
        let Tracking::Connection(connection) = &self.tracking else {
            return;
        };
        let here = connection.tuple(connection.direction);
        let there = connection.answer().inverse();
        if here.side(side) == there.side(side) {
            return;
        }
        let (address, _) = there.side(side);
        let (quoted_address, quoted_port) = connection.answer().answered_side(side);
        self.rewriting(|datagram| {
            datagram.rewrite_error(side, address, quoted_address, quoted_port);
        });
    }

    /// Rewrites the packet, and tells the tracer what that did to its flow.
    pub(crate) fn rewriting(&mut self, rewrite: impl FnOnce(&mut Datagram)) {
        self.registers = Registers::default();
        if !T::WATCHES {
            rewrite(&mut self.datagram);
            return;
        }
        let before = self.datagram.shown_flow();
        rewrite(&mut self.datagram);
        if let (Some(before), Some(after)) = (before, self.datagram.shown_flow())
            && before != after
        {
            self.tracer.translated(&before, &after);
        }
    }

    /// Asks what neither the tables nor the packet answer. `None` leaves it open: the flight ends with this rule.
    #[cold]
    pub(crate) fn ask(&mut self, rule: RuleRef<'_>, question: Question) -> Option<bool> {
        let place = rule.place();
        match self.chooser.doubt(Box::new(Doubt { place, question })) {
            Ok(answer) => Some(answer),
            Err(doubt) => {
                self.doubt = Some(doubt);
                None
            }
        }
    }

    /// Ends the flight at a rule that may do anything.
    #[cold]
    pub(crate) fn leave_open(&mut self, rule: RuleRef<'_>, question: Question) {
        let place = rule.place();
        self.doubt = Some(Box::new(Doubt { place, question }));
    }

    pub(crate) fn discard(&mut self, reason: DropReason) -> Stop {
        self.tracer.discarded(&reason);
        Stop::Drop(reason)
    }

    /// Builds an answer to the packet as it was received, but for a hop that forwarding has taken off already
    /// (Linux `ip_forward`): its sender does not know of translations made here.
    /// Whoever the sender meant to reach speaks, if that was translated or is this node; else this node does.
    fn answer(&mut self, refusal: Refusal) -> Option<Packet> {
        let received = self.received;
        let translated = self.datagram.headers.destination != received.destination;
        let source = if translated || self.is_local(received.destination) {
            Some(received.destination)
        } else if self.is_local(received.source) {
            Some(received.source)
        } else {
            let way_back = self.routing.route(received.source);
            way_back.map(|hop| hop.source_address)
        };
        let mut datagram = self.datagram.clone();
        if let Some(flow) = received.flow {
            for side in [Side::Source, Side::Destination] {
                let (address, port) = flow.side(side);
                datagram.rewrite(side, address, port);
            }
        }
        refuse(&datagram, source, refusal)
    }
}

/// Whether an address is one of the node's own.
pub(crate) fn is_own(tables: &FamilyTables, routing: &impl Routing, address: IpAddr) -> bool {
    address.is_loopback() || routing.is_local(address) || tables.is_bound(address)
}

/// What Linux calls martian, and what it does not forward: `ip_route_input_slow`, `ipv6_rcv`. An answer to what the node
/// has sent from 127.0.0.1 is let in: localhost node ports need `route_localnet` (PROXY-27).
///
/// The destination is the translated one, the source is not.
pub(crate) fn is_martian(
    tables: &FamilyTables,
    routing: &impl Routing,
    source: IpAddr,
    destination: IpAddr,
    is_answer: bool,
) -> bool {
    let is_possible = |address: IpAddr| is_unicast(address) && !address.is_unspecified();
    !is_possible(source)
        || is_own(tables, routing, source)
        || !is_possible(destination)
        || (!is_answer && destination.is_loopback())
}

/// The end of a packet's way, unless the verdict of a rule lets it go on.
pub(crate) fn obey(verdict: TableVerdict, rule: RuleRef<'_>) -> Result<TableVerdict, Stop> {
    match verdict {
        TableVerdict::Drop => Err(Stop::Drop(DropReason::Rule(rule.place()))),
        TableVerdict::Reject(with) => Err(Stop::Reject(rule.place(), with)),
        _ => Ok(verdict),
    }
}

const fn port_wish(port: Option<u16>, random: bool) -> PortWish {
    match (port, random) {
        (Some(port), _) => PortWish::Exactly(port),
        (None, true) => PortWish::Random,
        (None, false) => PortWish::Keep,
    }
}
