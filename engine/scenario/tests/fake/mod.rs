//! A world in miniature: Services named `web` reach the Pods labelled `app: web`, in turn.
//!
//! A write is seen by DNS and rules five milliseconds later, a connection takes one millisecond, and an
//! address that is no Service's never answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use api::{DeleteOptions, Kind, Object, ObjectKey, Status, Written};
use base::SimTime;
use control::{
    Answer, Attempt, ConnectRequest, Connection, Decision, Fate, Fault, FaultId, Happening, Host,
    Outcome, Peer, Probe, ProbeAnswer, ProbeOutcome, ProbeRequest, ProxyConfig, ProxyMode,
    ProxySettings, ReferenceError, Resolution, ResolveRequest, Reuse, Sender, Share, Source,
    TrafficFailure, TrafficReport, TrafficRequest, World, WorldFigures, WriteVerb,
};
use ruleset::Protocol;
use serde_json::{Map, Value as Json};

const LAG: Duration = Duration::from_millis(5);
const TRIP: Duration = Duration::from_millis(1);
const VIP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 42)), 80);
const DNS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10)), 53);

#[derive(Default)]
pub(crate) struct Fake {
    now: SimTime,
    objects: BTreeMap<ObjectKey, Object>,
    /// What DNS and the rules know of, and since when they know of the next.
    seen: Vec<ObjectKey>,
    news: Option<SimTime>,
    /// When the last packet of a connection arrives, long after its client is done.
    packet: Option<SimTime>,
    happenings: Vec<Happening>,
    turn: usize,
    /// Something changes again after this long, for ever.
    pub(crate) restless: Option<Duration>,
    /// Refuses every write.
    pub(crate) refuses: bool,
    /// Each with its end.
    faults: BTreeMap<FaultId, (Fault, SimTime)>,
    /// What proxies' configuration files say, where it is not the default.
    pub(crate) proxies: BTreeMap<String, ProxyConfig>,
    /// Connections that are held: how each was dialled, and how it ended if it is over.
    held: BTreeMap<String, (ConnectRequest, Option<Outcome>)>,
    /// Traffic that runs, and since when.
    traffic: BTreeMap<String, (TrafficRequest, SimTime)>,
}

impl Fake {
    fn changed(&mut self) {
        self.news = Some(self.now + LAG);
    }

    fn tell(&mut self, who: &str, what: String) {
        self.happenings.push(Happening {
            at: self.now,
            who: who.to_owned(),
            what,
        });
    }

    fn has_web(&self) -> bool {
        self.seen
            .contains(&ObjectKey::new(Kind::Service, "default", "web"))
    }

    fn backends(&self) -> Vec<Peer> {
        let pods = self
            .seen
            .iter()
            .filter(|key| key.kind == Kind::Pod && key.name.starts_with("web"));
        let peer = |(index, key): (u8, &ObjectKey)| Peer {
            name: key.to_string(),
            address: SocketAddr::from(([10, 244, 1, index], 8080)),
            node: Some("node-a".to_owned()),
        };
        (2..).zip(pods).map(peer).collect()
    }

    fn check(&self, source: &Source) -> Result<(), ReferenceError> {
        match source {
            Source::Pod(key) if !self.objects.contains_key(key) => {
                let pods = self.objects.keys().filter(|key| key.kind == Kind::Pod);
                let existing = pods.map(ToString::to_string).collect();
                Err(ReferenceError {
                    wanted: key.to_string(),
                    existing,
                })
            }
            _ => Ok(()),
        }
    }

    fn lookup(&self, name: &str) -> Resolution {
        let known = name == "web" && self.has_web();
        let rcode = if known { "NOERROR" } else { "NXDOMAIN" };
        let full = format!("{name}.default.svc.cluster.local.");
        let (record_type, data) = ("A".to_owned(), VIP.ip().to_string());
        let answer = Answer {
            name: full.clone(),
            record_type: record_type.clone(),
            ttl: 5,
            data,
        };
        Resolution {
            rcode: rcode.to_owned(),
            answers: if known { vec![answer] } else { Vec::new() },
            attempts: vec![Attempt {
                name: full,
                record_type,
                server: DNS,
                protocol: Protocol::UDP,
                result: rcode.to_owned(),
                sent: self.now,
                known: self.now,
            }],
            started: self.now,
            finished: self.now,
        }
    }

    fn dial(&mut self, request: &ConnectRequest) -> Connection {
        let resolution = match &request.to.host {
            Host::Name(name) => Some(self.lookup(name)),
            Host::Address(_) => None,
        };
        let unresolved = resolution
            .as_ref()
            .is_some_and(|lookup| lookup.answers.is_empty());
        let to_web = resolution.is_some() || request.to.host == Host::Address(VIP.ip());
        let backends = self.backends();
        let decision = |rule: Option<&str>, meaning: &str| Decision {
            at: self.now,
            place: "node-a".to_owned(),
            rule: rule.map(str::to_owned),
            meaning: meaning.to_owned(),
        };
        let (outcome, decisions) = match (unresolved, to_web && self.has_web(), backends.is_empty())
        {
            (true, ..) => (Outcome::Unresolved, Vec::new()),
            (_, false, _) => (
                Outcome::Timeout,
                vec![decision(None, "no route leads to it")],
            ),
            (_, _, true) => {
                let rule = "filter -A KUBE-SERVICES -d 10.96.0.42/32 -j REJECT";
                (
                    Outcome::Refused,
                    vec![decision(
                        Some(rule),
                        "the Service has no endpoints, so it is refused",
                    )],
                )
            }
            _ => {
                let rule = "nat -A KUBE-SEP-X -j DNAT";
                (
                    Outcome::Connected,
                    vec![decision(Some(rule), "sent to a backend")],
                )
            }
        };
        self.turn += 1;
        let connected = outcome == Outcome::Connected;
        let backend = connected.then(|| backends[self.turn % backends.len()].clone());
        let peer = SocketAddr::from(([10, 244, 1, 9], 40_000));
        Connection {
            outcome,
            backend,
            remote: (!unresolved).then_some(VIP),
            peer_seen: connected.then_some(peer),
            started: self.now,
            finished: self.now + TRIP,
            latency: connected.then_some(TRIP),
            resolution,
            decisions,
        }
    }
}

impl World for Fake {
    /// It is nothing but objects.
    fn control(&self) -> Option<&control::Control> {
        None
    }

    fn plane(&self) -> &'static str {
        "sim"
    }

    fn now(&self) -> SimTime {
        self.now
    }

    fn advance_to(&mut self, at: SimTime) {
        if let Some(news) = self.news.filter(|news| *news <= at) {
            self.now = news;
            self.news = None;
            self.seen = self.objects.keys().cloned().collect();
            self.tell(
                "node-a/proxy",
                format!("knows of {} objects", self.seen.len()),
            );
        }
        self.now = self.now.max(at);
        self.packet = self.packet.filter(|packet| *packet > at);
    }

    fn next_event_at(&self) -> Option<SimTime> {
        self.next_change_at().into_iter().chain(self.packet).min()
    }

    fn next_change_at(&self) -> Option<SimTime> {
        let again = self.restless.map(|period| self.now + period);
        self.news.into_iter().chain(again).min()
    }

    fn write(&mut self, verb: WriteVerb, object: Object) -> Result<Written, Status> {
        self.check_reachable()?;
        let key = object.key();
        if self.refuses || verb == WriteVerb::Replace && !self.objects.contains_key(&key) {
            return Err(Status::not_found(&key));
        }
        self.objects.insert(key.clone(), object.clone());
        self.tell("api", format!("{key} is written"));
        self.changed();
        Ok(Written {
            verb: api::Verb::Created,
            object,
            warnings: Vec::new(),
        })
    }

    fn patch(&mut self, key: &ObjectKey, _patch: &Map<String, Json>) -> Result<Written, Status> {
        let object = self.get(key)?;
        self.tell("api", format!("{key} is patched"));
        self.changed();
        Ok(Written {
            verb: api::Verb::Patched,
            object,
            warnings: Vec::new(),
        })
    }

    fn delete_with(&mut self, key: &ObjectKey, _options: &DeleteOptions) -> Result<(), Status> {
        self.objects
            .remove(key)
            .ok_or_else(|| Status::not_found(key))?;
        self.changed();
        Ok(())
    }

    fn get(&self, key: &ObjectKey) -> Result<Object, Status> {
        self.objects
            .get(key)
            .cloned()
            .ok_or_else(|| Status::not_found(key))
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Object> {
        let fits = |key: &ObjectKey| {
            key.kind == kind && (namespace.is_none() || key.namespace.as_deref() == namespace)
        };
        self.objects
            .iter()
            .filter(|(key, _)| fits(key))
            .map(|(_, object)| object.clone())
            .collect()
    }

    fn connect(&mut self, request: &ConnectRequest) -> Result<Vec<Connection>, ReferenceError> {
        self.check(&request.from)?;
        let connections: Vec<Connection> = (0..request.count).map(|_| self.dial(request)).collect();
        let timed_out = connections
            .iter()
            .any(|one| one.outcome == Outcome::Timeout);
        self.advance_to(self.now + if timed_out { request.timeout } else { TRIP });
        self.packet = Some(self.now + TRIP);
        Ok(connections)
    }

    fn open(&mut self, id: &str, request: &ConnectRequest) -> Result<Connection, ReferenceError> {
        self.check(&request.from)?;
        let seen = self.dial(request);
        let end = Some(seen.outcome).filter(|outcome| *outcome != Outcome::Connected);
        self.held.insert(id.to_owned(), (request.clone(), end));
        Ok(seen)
    }

    /// What is held is reset when the Service is gone.
    fn send(&mut self, id: &str, _: &[u8], _: Duration) -> Result<Connection, ReferenceError> {
        let (request, end) = self.held[id].clone();
        let now = self.dial(&request);
        let end = end.or(Some(Outcome::Reset).filter(|_| !self.has_web()));
        self.held.insert(id.to_owned(), (request, end));
        Ok(Connection {
            outcome: end.unwrap_or(now.outcome),
            ..now
        })
    }

    fn close(&mut self, id: &str) -> Result<Option<Outcome>, ReferenceError> {
        Ok(self.held.remove(id).and_then(|(_, end)| end))
    }

    fn start_traffic(&mut self, request: &TrafficRequest) -> Result<(), ReferenceError> {
        for sender in &request.from {
            if let Sender::One(source) = sender {
                self.check(source)?;
            }
        }
        self.traffic
            .insert(request.id.clone(), (request.clone(), self.now));
        Ok(())
    }

    /// All of it is as a connection would be now; of connections that are kept, only the first request is new.
    fn stop_traffic(&mut self, id: &str) -> Result<TrafficReport, ReferenceError> {
        let Some((request, started)) = self.traffic.remove(id) else {
            let (wanted, existing) = (format!("traffic {id:?}"), Vec::new());
            return Err(ReferenceError { wanted, existing });
        };
        let mut report = TrafficReport {
            started,
            ended: self.now,
            ..TrafficReport::default()
        };
        let span = request.span.unwrap_or(Duration::MAX);
        let most = self.now.since(started).min(span);
        let Sender::One(from) = request.from[0].clone() else {
            report.nobody = 1;
            return Ok(report);
        };
        let dial = ConnectRequest {
            from: from.clone(),
            to: request.to.clone(),
            protocol: request.protocol,
            count: 1,
            timeout: request.timeout,
            payload: request.payload.clone(),
        };
        for number in (0..).take_while(|number| request.rate.offset(*number) < most) {
            let seen = self.dial(&dial);
            let established = request.reuse == Reuse::Keepalive && number > 0;
            let fate = Fate {
                outcome: seen.outcome,
                backend: seen.backend.as_ref().map(|peer| peer.name.as_str().into()),
                from_zone: "zone-1".into(),
                to_zone: seen.backend.as_ref().map(|_| "zone-1".into()),
            };
            let tally = report.tally(established);
            tally.add(fate, 1);
            if let Some(latency) = seen.latency {
                tally.latency.add(latency);
            }
            if seen.outcome != Outcome::Connected {
                report.failures.push(TrafficFailure {
                    started: self.now,
                    finished: self.now,
                    from: from.clone(),
                    outcome: seen.outcome,
                    established,
                    why: seen.decisions[0].meaning.clone(),
                });
            }
        }
        Ok(report)
    }

    fn figures(&self) -> WorldFigures {
        WorldFigures {
            rules: [("node-a".to_owned(), usize::from(self.has_web()))].into(),
            ..WorldFigures::default()
        }
    }

    fn resolve(&mut self, request: &ResolveRequest) -> Result<Resolution, ReferenceError> {
        self.check(&request.from)?;
        Ok(self.lookup(&request.name))
    }

    fn address_of(&self, from: &Source, name: &str) -> Result<IpAddr, String> {
        self.check(from).map_err(|error| error.to_string())?;
        match self.lookup(name).answers.is_empty() {
            true => Err(format!("{name} has no address")),
            false => Ok(VIP.ip()),
        }
    }

    fn probe(&mut self, request: &ProbeRequest) -> Result<Probe, ReferenceError> {
        let backends = self.backends();
        let denominator = backends.len() as u128;
        let heard = |peer: &Peer| (peer.address, ProbeAnswer::Heard);
        let answers = backends.iter().map(heard).collect();
        let outcomes = match (request.to == VIP && self.has_web(), denominator) {
            (false, _) => vec![(
                Share {
                    numerator: 1,
                    denominator: 1,
                },
                ProbeOutcome::Untouched,
            )],
            (true, 0) => vec![(
                Share {
                    numerator: 1,
                    denominator: 1,
                },
                ProbeOutcome::Reject,
            )],
            _ => {
                let endpoint = |peer: Peer| ProbeOutcome::Endpoint {
                    to: peer.address,
                    snat: false,
                };
                let share = Share {
                    numerator: 1,
                    denominator,
                };
                backends
                    .into_iter()
                    .map(|peer| (share, endpoint(peer)))
                    .collect()
            }
        };
        Ok(Probe {
            node: "node-a".to_owned(),
            outcomes,
            decisions: Vec::new(),
            answers,
        })
    }

    fn rules(&mut self, _: &str) -> Result<String, ReferenceError> {
        let rule = "-A KUBE-SERVICES -m comment --comment \"default/web cluster IP\"\n";
        Ok(format!(
            "*nat\n{}COMMIT\n",
            if self.has_web() { rule } else { "" }
        ))
    }

    fn fault(&mut self, fault: Fault, lasts: Option<Duration>) -> Result<FaultId, ReferenceError> {
        if let Fault::PodUnready { pods } | Fault::PodCrash { pods } = &fault {
            for pod in pods {
                self.check(&Source::Pod(pod.clone()))?;
            }
        }
        let until = lasts.map_or(SimTime::MAX, |span| self.now + span);
        let id = FaultId::new(self.faults.len() as u64);
        self.faults.insert(id, (fault, until));
        Ok(id)
    }

    fn heal(&mut self, fault: FaultId) -> Option<Fault> {
        let (fault, until) = self.faults.get_mut(&fault)?;
        let is_over = *until <= self.now;
        *until = self.now;
        (!is_over).then(|| fault.clone())
    }

    fn check_reachable(&self) -> Result<(), Status> {
        let mut faults = self.faults.values();
        match faults.any(|(fault, until)| *fault == Fault::ApiDown && *until > self.now) {
            true => Err(Status::connection_refused("127.0.0.1:6443")),
            false => Ok(()),
        }
    }

    fn proxy_config(&self, node: &str) -> Result<ProxyConfig, ReferenceError> {
        Ok(self.proxies.get(node).cloned().unwrap_or(ProxyConfig {
            mode: ProxyMode::Iptables,
            settings: ProxySettings::default(),
        }))
    }

    fn configure_proxy(&mut self, node: &str, config: ProxyConfig) -> Result<(), ReferenceError> {
        self.proxies.insert(node.to_owned(), config);
        Ok(())
    }

    fn restart_proxy(&mut self, node: &str) -> Result<bool, ReferenceError> {
        let is_dead = self.faults.values().any(|(fault, until)| {
            matches!(fault, Fault::ProxyCrash { node: dead } if dead == node) && *until > self.now
        });
        if !is_dead {
            self.tell(&format!("{node}/proxy"), "starts".to_owned());
        }
        Ok(!is_dead)
    }

    fn happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }
}
