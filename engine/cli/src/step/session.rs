//! A cluster to look around in, and how far its scenario has come.

use std::fmt::Write as _;
use std::path::Path;

use api::{Kind, ObjectKey};
use base::SimTime;
use control::{ProxyMode, Source, Target, World as _};
use explain::{Question, diagnose};
use kubectl::Printed;
use miette::{Diagnostic, Report};
use ruleset::{Family, Protocol};
use scenario::{Action, Ongoing, Scenario, ScenarioReport, SourceRef, Step, human, run_steps};
use serde_json::{Value as Json, json};
use sim::Sim;

use super::command::{self, Order};
use super::kubectl::{Change, ExecOrder, Known, reference};
use super::on_node::{self, Tool};
use super::typing::Words;
use super::{ping, sniff, tools};
use crate::{get, input, output, trace};

/// A session.
pub(super) struct Session {
    scenario: Scenario,
    mode: ProxyMode,
    pub(super) sim: Sim,
    /// How many steps have been done.
    done: usize,
    /// What they have begun and not ended.
    ongoing: Ongoing,
    /// Whether something was done besides them.
    by_hand: bool,
    /// Where commands are typed.
    place: SourceRef,
    /// When the command began that let time pass last: packets since then are shown.
    since: SimTime,
}

/// What a command says, whether or not it could be done.
type Said = Result<String, String>;

impl Session {
    /// Begins before the first step, on the first node.
    pub(super) fn begin(scenario: Scenario, mode: ProxyMode) -> Result<Self, Report> {
        let mut sim = input::build(&scenario, mode)?;
        sim.enable_capture();
        let mut ongoing = Ongoing::default();
        let nothing = run_steps(&scenario, mode, &mut sim, &[], SimTime::MAX, &mut ongoing);
        nothing.map_err(input::cannot_run)?;
        let first = scenario
            .cluster(mode)
            .nodes
            .first()
            .map(|node| node.name.clone());
        Ok(Self {
            scenario,
            mode,
            sim,
            done: 0,
            ongoing,
            by_hand: false,
            place: SourceRef::Node(first.unwrap_or_default()),
            since: SimTime::ZERO,
        })
    }

    /// What stands before every command.
    pub(super) fn prompt(&self) -> String {
        format!("[{} {}] ", self.sim.now(), self.place_name())
    }

    /// What completes a line at the prompt: commands, places, and the names of Services.
    pub(super) fn words(&self) -> Words {
        let namespace = &self.scenario.namespace;
        let named = |kind| {
            let objects = self.sim.list(kind, Some(namespace)).into_iter();
            objects.map(|object| object.meta().name.clone())
        };
        let nodes = self.node_names().into_iter();
        let outside = self.scenario.cluster(self.mode).outside.into_iter();
        let places = nodes.map(|name| format!("node/{name}"));
        let places = places.chain(outside.map(|host| format!("outside/{}", host.name)));
        let pods = named(Kind::Pod).map(|name| format!("pod/{name}"));
        Words {
            commands: command::names(),
            names: places.chain(pods).chain(named(Kind::Service)).collect(),
        }
    }

    /// What is said first.
    pub(super) fn welcome(&self) -> String {
        let Scenario {
            name, title, steps, ..
        } = &self.scenario;
        let title = title.as_ref().unwrap_or(name);
        let count = steps.len();
        format!("{title}\nmode {} · {count} steps · type help\n", self.mode)
    }

    /// Does what is asked for.
    pub(super) fn obey(&mut self, order: Order) -> Said {
        if order.lets_time_pass() {
            self.since = self.sim.now();
            self.sim.forget_captures();
        }
        match order {
            Order::Next => self.next(),
            Order::Back => self.back(),
            Order::At { time } => self.at(SimTime::ZERO + time),
            Order::Where => Ok(self.position()),
            Order::On { place } => self.on(&place),
            Order::Get { objects, print } => {
                get::table(&objects, &print, &self.sim, &self.scenario.namespace)
                    .map(|printed| both(&printed))
            }
            Order::Describe { objects } => {
                get::description(&objects, &self.sim, &self.scenario.namespace)
                    .map(|printed| both(&printed))
            }
            Order::Change(change) => self.change(&change),
            Order::Exec(order) => self.exec(&order),
            Order::Do { step } => self.carry_out(step.join(" ")),
            Order::Curl { max_time, url, .. } => {
                let from = self.source()?;
                tools::curl(&mut self.sim, from, &url, max_time)
            }
            Order::Wget(order) => {
                let from = self.source()?;
                tools::wget(&mut self.sim, from, &order)
            }
            Order::Nslookup { record_type, name } => {
                let from = self.source()?;
                tools::nslookup(&mut self.sim, &from, record_type.as_deref(), &name)
            }
            Order::Ping(order) => {
                let from = self.source()?;
                ping::ping(&mut self.sim, &from, &order)
            }
            Order::IptablesSave { table } => {
                self.rules(Tool::IptablesSave(Family::V4, table.as_deref()))
            }
            Order::Ip6tablesSave { table } => {
                self.rules(Tool::IptablesSave(Family::V6, table.as_deref()))
            }
            Order::Nft { words } if words == ["list", "ruleset"] => self.rules(Tool::Nft),
            Order::Nft { .. } => Err("supported here: nft list ruleset".to_owned()),
            Order::Ipvsadm(order) => self.rules(Tool::Ipvsadm(&order)),
            Order::Ipset { words } => Tool::ipset(&words).and_then(|tool| self.rules(tool)),
            Order::Conntrack(order) => on_node::conntrack(&self.sim, &self.source()?, &order),
            Order::Tcpdump(order) => sniff::tcpdump(&self.sim, &self.source()?, self.since, &order),
            Order::Trace { to, udp } => self.trace(&to, udp),
            Order::Explain { service } => self.explain(service.as_deref()),
            Order::Quit => Ok(String::new()),
        }
    }

    fn next(&mut self) -> Said {
        if self.done == self.scenario.steps.len() {
            return Err("that was the last step".to_owned());
        }
        let step = self.scenario.steps[self.done].clone();
        self.done += 1;
        let report = self.run(&[step])?;
        Ok(human::render_timeline(&report, output::colour()))
    }

    fn back(&mut self) -> Said {
        let Some(before) = self.done.checked_sub(1) else {
            return Err("this is before the first step".to_owned());
        };
        self.replay(before, SimTime::MAX)
    }

    fn at(&mut self, instant: SimTime) -> Said {
        let all = self.scenario.steps.len();
        self.replay(all, instant)
    }

    /// Begins anew and does that many steps, as far as there is time.
    fn replay(&mut self, steps: usize, limit: SimTime) -> Said {
        let sim = Sim::new(self.scenario.cluster(self.mode));
        let mut sim = sim.map_err(|status| status.kubectl_text())?;
        sim.enable_capture();
        let mut ongoing = Ongoing::default();
        let report = run_steps(
            &self.scenario,
            self.mode,
            &mut sim,
            &self.scenario.steps[..steps],
            limit,
            &mut ongoing,
        );
        let report = report.map_err(|why| why.to_string())?;
        if limit < SimTime::MAX {
            sim.advance_to(limit);
        }
        (self.sim, self.done, self.ongoing) = (sim, report.steps.len(), ongoing);
        // Whoever goes back sees all that led there.
        if self.sim.now() < self.since {
            self.since = SimTime::ZERO;
        }
        let lost = match std::mem::take(&mut self.by_hand) {
            true => "\nwhat was done by hand is gone: the scenario was replayed",
            false => "",
        };
        Ok(self.position() + lost)
    }

    fn position(&self) -> String {
        let steps = &self.scenario.steps;
        let mut text = format!(
            "{}: {} of {} steps are done",
            self.sim.now(),
            self.done,
            steps.len()
        );
        if let Some(next) = steps.get(self.done) {
            let asked = scenario::words::asked(&next.action, &self.scenario.namespace);
            let _ = write!(text, "; next: {} {asked}", next.verb());
        }
        text
    }

    fn on(&mut self, place: &str) -> Said {
        let place = SourceRef::parse(place, &self.scenario.namespace);
        let place = place.map_err(|why| why.to_string())?;
        let source = place.resolve(&self.sim).map_err(|why| why.to_string())?;
        let is_there = match &source {
            Source::Pod(key) => self
                .sim
                .get(key)
                .map(|_| ())
                .map_err(|why| why.kubectl_text()),
            Source::Node(name) => self
                .node_names()
                .contains(name)
                .then_some(())
                .ok_or_else(|| format!("no {source}; there are: {}", self.node_names().join(", "))),
            Source::Outside(name) => {
                let hosts = self.scenario.cluster(self.mode).outside;
                let known = hosts.iter().any(|host| host.name == *name);
                known
                    .then_some(())
                    .ok_or_else(|| format!("no {source} in spec.cluster"))
            }
        };
        is_there.map(|()| {
            self.place = place;
            String::new()
        })
    }

    fn node_names(&self) -> Vec<String> {
        let nodes = self.scenario.cluster(self.mode).nodes;
        nodes.into_iter().map(|node| node.name).collect()
    }

    fn place_name(&self) -> String {
        match &self.place {
            SourceRef::Pods(pods) => scenario::words::key(pods.key(), &self.scenario.namespace),
            SourceRef::Node(name) => format!("node/{name}"),
            SourceRef::Outside(name) => format!("outside/{name}"),
        }
    }

    fn source(&self) -> Result<Source, String> {
        self.place.resolve(&self.sim).map_err(|why| why.to_string())
    }

    /// Does what kubectl is told.
    fn change(&mut self, change: &Change) -> Said {
        let step = change.step(self)?;
        let said = self.carry_out(step.to_string())?;
        let lines = said.lines().map(|line| change.said(line) + "\n");
        Ok(lines.collect())
    }

    /// Does one command in a Pod.
    fn exec(&mut self, order: &ExecOrder) -> Said {
        let inner = order.inner()?;
        let before = self.place.clone();
        let said = self.on(&order.place()).and_then(|_| self.obey(inner));
        self.place = before;
        said
    }

    /// Does a step that does not stand in the scenario.
    fn carry_out(&mut self, step: String) -> Said {
        let step = input::step(&self.scenario, &self.ongoing, step);
        let step = step.map_err(|report| problem(&*report))?;
        self.by_hand = true;
        let report = self.run(&[step])?;
        let lines = report.steps.iter().flat_map(|step| {
            // What could not be done is often what was seen.
            let why = step.why.iter().filter(|line| !step.seen.contains(line));
            step.seen.iter().chain(why)
        });
        Ok(lines.map(|line| format!("{line}\n")).collect())
    }

    /// Does steps where the scenario has come to.
    fn run(&mut self, steps: &[Step]) -> Result<ScenarioReport, String> {
        let (world, ongoing) = (&mut self.sim, &mut self.ongoing);
        let report = run_steps(
            &self.scenario,
            self.mode,
            world,
            steps,
            SimTime::MAX,
            ongoing,
        );
        report.map_err(|why| why.to_string())
    }

    fn rules(&mut self, tool: Tool<'_>) -> Said {
        let place = self.source()?;
        tool.print(&mut self.sim, &place)
    }

    fn trace(&mut self, to: &str, udp: bool) -> Said {
        let from = self.source()?;
        let to: Target = to
            .parse()
            .map_err(|why: control::TargetError| why.to_string())?;
        let protocol = if udp { Protocol::UDP } else { Protocol::TCP };
        let found = self.sim.trace(&from, &to, protocol);
        let found = found.map_err(|why| why.to_string())?;
        let mode = self.sim.control().proxy_mode_at(&from);
        Ok(trace::human(&found, &self.sim.now().to_string(), mode))
    }

    fn explain(&self, service: Option<&str>) -> Said {
        let control = self.sim.control();
        let keys: Vec<ObjectKey> = match service {
            Some(text) => {
                let key = scenario::object_key(text, &self.scenario.namespace);
                vec![key.map_err(|why| why.to_string())?]
            }
            None => {
                let mut services = explain::services(control.api());
                services.retain(|key| key.namespace.as_ref() == Some(&self.scenario.namespace));
                services
            }
        };
        let found = keys
            .into_iter()
            .map(|key| diagnose(control, &Question::about(key)).to_string());
        Ok(found.collect::<Vec<_>>().join("\n\n"))
    }
}

impl Known for Session {
    fn object(&self, reference: &str) -> Result<Json, String> {
        let key = scenario::object_key(reference, &self.scenario.namespace);
        let key = key.map_err(|why| format!("error: {why}"))?;
        let object = self.sim.get(&key).map_err(|why| why.kubectl_text())?;
        Ok(Json::Object(object.to_fields()))
    }

    fn listed(&self, file: &Path) -> Result<Vec<String>, String> {
        let step = json!({"apply": {"file": file}}).to_string();
        let step = input::step(&self.scenario, &self.ongoing, step);
        let step = step.map_err(|report| problem(&*report))?;
        let Action::Write { manifests, .. } = step.action else {
            unreachable!("it applies")
        };
        let keys = manifests
            .iter()
            .flatten()
            .map(|manifest| manifest.object.key());
        let spelled =
            |key: ObjectKey| reference(&key.singular(), key.namespace.as_deref(), &key.name);
        Ok(keys.map(spelled).collect())
    }
}

/// What is wrong with a step, and what helps.
fn problem(found: &dyn Diagnostic) -> String {
    let mut lines = vec![found.to_string()];
    lines.extend(found.help().map(|help| format!("help: {help}")));
    lines.extend(found.related().into_iter().flatten().map(problem));
    lines.join("\n")
}

/// What a terminal shows of both streams.
fn both(printed: &Printed) -> String {
    format!("{}{}", printed.stderr, printed.stdout)
}
