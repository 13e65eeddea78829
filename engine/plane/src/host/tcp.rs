//! One TCP connection on a host: a smoltcp socket and what Linux adds to it.
//!
//! **What.** [`Connection`] feeds packets and timers to its socket and reports what an application would
//! notice. **Why.** smoltcp's sockets know no applications and no limits of time.
//! **Source of the semantics.** RFC 9293; the limits are Linux's (`net.ipv4.tcp_*`, ip-sysctl.rst).
//!
//! Deviation: a connection in TIME-WAIT is gone at once instead of after 60 s, so its ports are free again. On
//! links that lose the last ACK its peer gets a reset when it repeats its FIN; it reports a normal end.
//! Deviation: smoltcp doubles its retransmission timer up to 60 s, Linux up to 120 s; its least is 1 s, Linux's
//! 200 ms.

use std::collections::VecDeque;
use std::time::Duration;

use base::SimTime;
use smoltcp::iface::{Interface, PollResult};
use smoltcp::socket::tcp::{ConnectError, Socket, State};
use smoltcp::time::Instant;

use super::solo::Solo;
use super::wire::{Wire, instant, sim_time};
use crate::queue::Ticket;
use crate::segment::Flow;
use crate::{PlaneEvent, SocketError, SocketId};

/// `tcp_syn_retries` = 6: retries after 1, 3, 7, 15, 31 and 63 s, then as long again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);
/// `tcp_synack_retries` = 5.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(63);
/// `tcp_retries2` = 15: "a hypothetical timeout of 924.6 seconds".
const SILENCE_TIMEOUT: Duration = Duration::from_millis(924_600);
/// `tcp_fin_timeout`.
const FIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How often to ask a peer that owes an answer when smoltcp has stopped asking (see [`Connection::keep_asking`]).
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait when smoltcp wants to be polled again without having got anything done.
const STUCK_RETRY: Duration = Duration::from_millis(1);

/// Who began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// What made a connection run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A packet of the peer's.
    Arrival {
        /// From the IP header on.
        packet: Vec<u8>,
        /// Whether it is a reset.
        reset: bool,
    },
    /// A timer, or the application.
    Timer,
}

/// When a connection is to run without a packet: the plane's affair.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Alarm {
    /// By its timer.
    pub(crate) timer: Option<Ticket>,
    /// For its application, at the instant at which that wanted something.
    pub(crate) wake: Option<Ticket>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// When it wants to run next without a packet, if ever: strictly later.
    Waits(Option<SimTime>),
    /// The connection is over and its socket gone.
    Over,
    /// The connection was over before this packet came, which is nobody's.
    OverBefore(Vec<u8>),
}

/// A connection, from its SYN until both sides are done.
pub(super) struct Connection {
    id: SocketId,
    flow: Flow,
    role: Role,
    solo: Solo<Socket<'static>>,
    /// When it runs next.
    pub(super) alarm: Alarm,
    /// What the application has sent and smoltcp has no room for yet.
    unsent: VecDeque<u8>,
    /// The application knows that the connection stands.
    announced: bool,
    /// The application knows that the peer has sent everything.
    peer_closed: bool,
    /// The application is done: send the rest, then a FIN.
    closing: bool,
    aborted: bool,
    /// Its application was killed: the kernel closes the connection, and resets it if the peer still sends.
    orphaned: bool,
    /// Since when the peer owes a sign of life.
    waiting_since: SimTime,
}

impl Connection {
    /// A connection that sends its SYN when it next runs.
    pub(super) fn connect(
        id: SocketId,
        flow: Flow,
        now: SimTime,
        interface: &mut Interface,
        mut spare: Solo<Socket<'static>>,
    ) -> Result<Self, ConnectError> {
        let socket = spare.get_mut();
        socket.connect(interface.context(), flow.remote, flow.local)?;
        Ok(Self::new(id, flow, Role::Client, spare, now))
    }

    /// The server's side; its SYN is the packet it runs with first. `None` when the address cannot listen.
    pub(super) fn accept(
        id: SocketId,
        flow: Flow,
        now: SimTime,
        mut spare: Solo<Socket<'static>>,
    ) -> Option<Self> {
        spare.get_mut().listen(flow.local).ok()?;
        Some(Self::new(id, flow, Role::Server, spare, now))
    }

    fn new(
        id: SocketId,
        flow: Flow,
        role: Role,
        solo: Solo<Socket<'static>>,
        now: SimTime,
    ) -> Self {
        Self {
            id,
            flow,
            role,
            solo,
            alarm: Alarm::default(),
            unsent: VecDeque::new(),
            announced: false,
            peer_closed: false,
            closing: false,
            aborted: false,
            orphaned: false,
            waiting_since: now,
        }
    }

    pub(super) const fn id(&self) -> SocketId {
        self.id
    }

    pub(super) const fn flow(&self) -> Flow {
        self.flow
    }

    /// Its socket, once it is over.
    pub(super) fn into_socket(self) -> Solo<Socket<'static>> {
        self.solo
    }

    /// Whether the application may send: not after it closed.
    pub(super) const fn may_send(&self) -> bool {
        !self.closing && !self.aborted
    }

    pub(super) fn is_client(&self) -> bool {
        self.role == Role::Client
    }

    /// Since when it waits for an answer to its SYN; `None` when it does not, or is to do more than that.
    pub(super) fn dialling_since(&self) -> Option<SimTime> {
        let is_dialling = self.is_client() && self.state() == State::SynSent;
        let is_all = self.may_send() && !self.orphaned && self.unsent.is_empty();
        (is_dialling && is_all).then_some(self.waiting_since)
    }

    /// Queues what the application sends; it goes when the connection next runs.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend(bytes);
    }

    /// Ends the connection after what is queued has been sent.
    pub(super) const fn close(&mut self) {
        self.closing = true;
    }

    /// Ends it with a reset.
    pub(super) const fn abort(&mut self) {
        self.aborted = true;
    }

    /// Leaves it to the kernel to end it: in order, unless it waits to be accepted.
    pub(super) fn orphan(&mut self) {
        self.orphaned = true;
        match self.state() {
            State::SynReceived => self.aborted = true,
            _ => self.closing = true,
        }
    }

    /// What an ICMP error ends: a connection that does not stand yet. For an established one such errors are
    /// soft and Linux does not report them (`tcp_v4_err`).
    pub(super) fn fails_on_icmp(&self) -> bool {
        matches!(self.state(), State::SynSent | State::SynReceived)
    }

    /// Runs the connection until nothing more can happen at `now`.
    pub(super) fn run(
        &mut self,
        now: SimTime,
        cause: Cause,
        interface: &mut Interface,
        wire: &mut Wire,
        events: &mut Vec<PlaneEvent>,
    ) -> Progress {
        let is_late = || self.deadline().is_some_and(|deadline| deadline <= now);
        if matches!(cause, Cause::Timer) && is_late() {
            return self.finish(events, Some(SocketError::TimedOut));
        }
        if self.ends_unheard() {
            let over = self.finish(events, None);
            return match cause {
                Cause::Arrival { packet, .. } => Progress::OverBefore(packet),
                Cause::Timer => over,
            };
        }
        let reset = matches!(cause, Cause::Arrival { reset: true, .. });
        if let Cause::Arrival { packet, .. } = cause {
            wire.deliver(packet);
            self.waiting_since = now;
        }
        self.apply_abort();
        if wire.has_come() {
            interface.poll_ingress_single(instant(now), wire, self.solo.set_mut());
        } else {
            self.refill(now);
        }
        let heard_before = events.len();
        let next = self.exchange(now, interface, wire, events);
        self.report_peer_close(events);
        if self.orphaned {
            events.truncate(heard_before);
        }
        self.conclude(now, reset, next, events)
    }

    /// Where it stands after it has run, given when smoltcp wants to be asked again.
    fn conclude(
        &mut self,
        now: SimTime,
        reset: bool,
        next: Option<Instant>,
        events: &mut Vec<PlaneEvent>,
    ) -> Progress {
        match self.state() {
            State::TimeWait => self.finish(events, None),
            State::Closed | State::Listen => {
                let is_news = reset && !self.aborted && !self.is_ending();
                let error = match self.announced {
                    true => SocketError::Reset,
                    false => SocketError::Refused,
                };
                self.finish(events, is_news.then_some(error))
            }
            _ => Progress::Waits(self.next_run(now, next)),
        }
    }

    /// Has smoltcp send what it has to, and the application read and write, until neither goes on. Tells when smoltcp
    /// wants to be asked again.
    fn exchange(
        &mut self,
        now: SimTime,
        interface: &mut Interface,
        wire: &mut Wire,
        events: &mut Vec<PlaneEvent>,
    ) -> Option<Instant> {
        let at = instant(now);
        let is_due = |next: Option<Instant>| next.is_some_and(|next| next <= at);
        loop {
            let next = self.transmit(at, interface, wire);
            self.report_opening(events);
            let received = self.receive(events);
            if received && self.orphaned {
                self.aborted = true;
                self.apply_abort();
            }
            let sent = self.refill(now);
            if !(received || sent) {
                return next;
            }
            // What was read may have opened the window, what was sent may go; most often neither says anything.
            let next = interface.poll_at(at, self.solo.set());
            if !is_due(next) {
                return next;
            }
        }
    }

    /// Sends packets until there is none to send at this instant; tells when there may be one.
    ///
    /// smoltcp's `poll` ends with an attempt that sends nothing. To ask when the next is due comes to the same (`poll_at`
    /// "mirrors the beginning of dispatch"), and has to be asked anyway.
    fn transmit(
        &mut self,
        at: Instant,
        interface: &mut Interface,
        wire: &mut Wire,
    ) -> Option<Instant> {
        loop {
            let sent = interface.poll_egress(at, wire, self.solo.set_mut());
            let next = interface.poll_at(at, self.solo.set());
            if sent == PollResult::None || next.is_none_or(|next| next > at) {
                debug_assert_eq!(
                    interface.poll_egress(at, wire, self.solo.set_mut()),
                    PollResult::None,
                    "poll_at tells of all that is to be sent"
                );
                return next;
            }
        }
    }

    /// When it wants to run next without a packet, given when smoltcp does: strictly after `now`.
    fn next_run(&mut self, now: SimTime, next: Option<Instant>) -> Option<SimTime> {
        let timer = next.map(|at| {
            let at = sim_time(at);
            if at > now { at } else { now + STUCK_RETRY }
        });
        let timer = self.keep_asking(now, timer);
        match (timer, self.deadline()) {
            (Some(timer), Some(deadline)) => Some(timer.min(deadline)),
            (timer, deadline) => timer.or(deadline),
        }
    }

    /// smoltcp forgets its retransmission timer when that fires while the peer's window is closed, and when a closed
    /// window opens again: if then a packet is lost, both sides wait for ever. Linux's persist timer goes on
    /// (`tcp_send_probe0`); here keep-alives stand in for it as long as something is unacknowledged. The answer tells the
    /// window, and the third one has smoltcp send again what was lost.
    fn keep_asking(&mut self, now: SimTime, timer: Option<SimTime>) -> Option<SimTime> {
        let owed = self.is_owed_an_answer();
        if !owed {
            self.socket_mut().set_keep_alive(None);
        }
        if timer.is_some() || !owed {
            return timer;
        }
        let interval = smoltcp::time::Duration::from(PROBE_INTERVAL);
        self.socket_mut().set_keep_alive(Some(interval));
        Some(now + PROBE_INTERVAL)
    }

    /// Whether the peer has not acknowledged everything.
    fn is_owed_an_answer(&self) -> bool {
        let closing = matches!(
            self.state(),
            State::FinWait1 | State::Closing | State::LastAck
        );
        closing || self.socket().send_queue() > 0
    }

    fn state(&self) -> State {
        self.socket().state()
    }

    fn socket(&self) -> &Socket<'static> {
        self.solo.get()
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.solo.get_mut()
    }

    /// Whether this side has closed and only the rest of the handshake is missing.
    fn is_ending(&self) -> bool {
        self.closing && self.unsent.is_empty()
    }

    /// A connection that is given up before the peer has answered leaves nothing to say on the wire. A packet that finds
    /// it so finds no socket, as on Linux, where the kernel resets what comes after the close.
    fn ends_unheard(&self) -> bool {
        (self.is_ending() || self.aborted) && self.state() == State::SynSent
    }

    fn apply_abort(&mut self) {
        if self.aborted {
            self.unsent.clear();
            self.socket_mut().abort();
        }
    }

    fn report_opening(&mut self, events: &mut Vec<PlaneEvent>) {
        let open = !matches!(
            self.state(),
            State::Closed | State::Listen | State::SynSent | State::SynReceived
        );
        if !open || self.announced {
            return;
        }
        self.announced = true;
        events.push(match self.role {
            Role::Client => PlaneEvent::Connected { socket: self.id },
            Role::Server => PlaneEvent::Accepted {
                socket: self.id,
                host: self.id.host,
                local: self.flow.local,
                peer: self.flow.remote,
            },
        });
    }

    /// Hands over what has arrived; after an abort nobody listens any more.
    fn receive(&mut self, events: &mut Vec<PlaneEvent>) -> bool {
        let socket = self.solo.get_mut();
        let mut bytes = Vec::new();
        while socket.can_recv() {
            let taken = socket.recv(|chunk| {
                bytes.extend_from_slice(chunk);
                (chunk.len(), chunk.len())
            });
            if taken.unwrap_or(0) == 0 {
                break;
            }
        }
        let received = !bytes.is_empty();
        if received && !self.aborted {
            events.push(PlaneEvent::Data {
                socket: self.id,
                bytes,
                from: None,
            });
        }
        received
    }

    /// Gives smoltcp what it has room for, and the FIN when nothing is left.
    fn refill(&mut self, now: SimTime) -> bool {
        if self.aborted {
            return false;
        }
        let socket = self.solo.get_mut();
        let mut moved = false;
        while socket.can_send() && !self.unsent.is_empty() {
            if socket.send_queue() == 0 {
                self.waiting_since = now;
            }
            let (head, _) = self.unsent.as_slices();
            let taken = socket.send_slice(head).unwrap_or(0);
            if taken == 0 {
                break;
            }
            self.unsent.drain(..taken);
            moved = true;
        }
        let established = matches!(
            socket.state(),
            State::SynReceived | State::Established | State::CloseWait
        );
        if self.closing && self.unsent.is_empty() && established {
            socket.close();
            self.waiting_since = now;
            moved = true;
        }
        moved
    }

    fn report_peer_close(&mut self, events: &mut Vec<PlaneEvent>) {
        let closed = matches!(
            self.state(),
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        );
        if closed && !self.peer_closed && !self.aborted {
            self.peer_closed = true;
            events.push(PlaneEvent::PeerClosed { socket: self.id });
        }
    }

    /// When Linux would give up waiting.
    fn deadline(&self) -> Option<SimTime> {
        let owed = match self.state() {
            State::SynSent => CONNECT_TIMEOUT,
            State::SynReceived => ACCEPT_TIMEOUT,
            State::FinWait2 => FIN_TIMEOUT,
            State::FinWait1 | State::Closing | State::LastAck => SILENCE_TIMEOUT,
            _ if self.socket().send_queue() > 0 => SILENCE_TIMEOUT,
            _ => return None,
        };
        Some(self.waiting_since + owed)
    }

    /// The last event. An application hears nothing of a connection that it was never told about, and no
    /// failure of one that it had closed.
    fn finish(&self, events: &mut Vec<PlaneEvent>, error: Option<SocketError>) -> Progress {
        let socket = self.id;
        let known = (self.announced || self.role == Role::Client) && !self.orphaned;
        if known {
            events.push(match error {
                Some(error) if !self.is_ending() => PlaneEvent::Failed { socket, error },
                _ => PlaneEvent::Closed { socket },
            });
        }
        Progress::Over
    }
}

#[cfg(test)]
mod tests;
