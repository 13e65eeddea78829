//! A cluster to look around in, and how far its scenario has come.

use std::fmt::Write as _;
use std::path::Path;

use api::ObjectKey;
use base::SimTime;
use control::{ProxyMode, Source, Target, World as _};
use explain::{Question, diagnose};
use kubectl::Printed;
use miette::Report;
use ruleset::{Family, Protocol};
use scenario::{API_VERSION, Ongoing, Scenario, SourceRef, human, run_steps};
use serde_json::{Value, json};
use sim::Sim;

use super::command::Order;
use super::tools;
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
    /// Where commands are typed.
    place: SourceRef,
}

/// What a command says, whether or not it could be done.
type Said = Result<String, String>;

impl Session {
    /// Begins before the first step, on the first node.
    pub(super) fn begin(scenario: Scenario, mode: ProxyMode) -> Result<Self, Report> {
        let mut sim = input::build(&scenario, mode)?;
        let mut ongoing = Ongoing::default();
        let nothing = run_steps(&scenario, mode, &mut sim, 0..0, SimTime::MAX, &mut ongoing);
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
            place: SourceRef::Node(first.unwrap_or_default()),
        })
    }

    /// What stands before every command.
    pub(super) fn prompt(&self) -> String {
        format!("[{} {}] ", self.sim.now(), self.place_name())
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
            Order::Apply { file } => self.carry_out(&json!({"apply": {"file": file}})),
            Order::Delete { targets } => self.carry_out(&json!({"delete": targets})),
            Order::Do { step } => {
                let text = step.join(" ");
                let step = api::yaml::split(&api::yaml::Source::new("step", text));
                let step = step.map_err(|problem| problem.to_string())?;
                let step = step
                    .first()
                    .and_then(|one| serde_json::to_value(&one.value).ok());
                self.carry_out(&step.unwrap_or_default())
            }
            Order::Curl { max_time, url, .. } => {
                let from = self.source()?;
                tools::curl(&mut self.sim, from, &url, max_time)
            }
            Order::Nslookup { name } => {
                let from = self.source()?;
                tools::nslookup(&mut self.sim, &from, &name)
            }
            Order::IptablesSave => self.rules("iptables-save", Family::V4),
            Order::Ip6tablesSave => self.rules("ip6tables-save", Family::V6),
            Order::Nft { words } if words == ["list", "ruleset"] => self.rules("nft", Family::V4),
            Order::Nft { .. } => Err("supported here: nft list ruleset".to_owned()),
            Order::Trace { to, udp } => self.trace(&to, udp),
            Order::Explain { service } => self.explain(service.as_deref()),
            Order::Quit => Ok(String::new()),
        }
    }

    fn next(&mut self) -> Said {
        if self.done == self.scenario.steps.len() {
            return Err("that was the last step".to_owned());
        }
        let steps = self.done..self.done + 1;
        self.done += 1;
        let (world, ongoing) = (&mut self.sim, &mut self.ongoing);
        let report = run_steps(
            &self.scenario,
            self.mode,
            world,
            steps,
            SimTime::MAX,
            ongoing,
        );
        let report = report.map_err(|why| why.to_string())?;
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
        let mut ongoing = Ongoing::default();
        let report = run_steps(
            &self.scenario,
            self.mode,
            &mut sim,
            0..steps,
            limit,
            &mut ongoing,
        );
        let report = report.map_err(|why| why.to_string())?;
        if limit < SimTime::MAX {
            sim.advance_to(limit);
        }
        (self.sim, self.done, self.ongoing) = (sim, report.steps.len(), ongoing);
        Ok(self.position())
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

    /// Does a step that does not stand in the scenario, by reading a scenario of the same cluster in which it does.
    fn carry_out(&mut self, step: &Value) -> Said {
        let text = self.around(step).to_string();
        let scenarios = input::load_text(Path::new("step"), text);
        let scenarios = scenarios.map_err(|report| report.to_string())?;
        let one = scenarios.first().ok_or("there is no step")?;
        let (world, ongoing) = (&mut self.sim, &mut self.ongoing);
        let report = run_steps(one, self.mode, world, 0..1, SimTime::MAX, ongoing);
        let report = report.map_err(|why| why.to_string())?;
        let lines = report
            .steps
            .iter()
            .flat_map(|step| match step.why.is_empty() {
                true => &step.seen,
                false => &step.why,
            });
        Ok(lines.map(|line| format!("{line}\n")).collect())
    }

    fn around(&self, step: &Value) -> Value {
        let cluster = self.scenario.cluster(self.mode);
        let nodes = cluster.nodes.iter().map(|node| {
            json!({"name": node.name, "addresses": node.addresses, "podCIDRs": node.pod_cidrs})
        });
        let outside = cluster.outside.iter();
        let outside = outside.map(|host| json!({"name": host.name, "address": host.address}));
        json!({
            "apiVersion": API_VERSION,
            "kind": "Scenario",
            "metadata": {"name": "by-hand"},
            "spec": {
                "namespace": self.scenario.namespace,
                "cluster": {
                    "serviceCIDRs": cluster.service_cidrs,
                    "podCIDRs": cluster.pod_cidrs,
                    "nodes": nodes.collect::<Vec<_>>(),
                    "outside": outside.collect::<Vec<_>>(),
                },
                "steps": [step],
            },
        })
    }

    fn rules(&mut self, tool: &str, family: Family) -> Said {
        let node = match self.source()? {
            Source::Node(name) => name,
            place => {
                return Ok(format!(
                    "# {place} has a network of its own, without rules: say `on node/…`"
                ));
            }
        };
        let Some(listing) = self.sim.rule_listing(&node, family) else {
            return Ok("# the node's proxy has written nothing yet".to_owned());
        };
        // A node's proxy may be in another mode than the cluster's.
        let kind = if listing.starts_with("table ") {
            "nftables"
        } else {
            "iptables"
        };
        match (kind == "nftables") == (tool == "nft") {
            true => Ok(listing),
            false => Ok(format!("# nothing: the node's rules are those of {kind}")),
        }
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

/// What a terminal shows of both streams.
fn both(printed: &Printed) -> String {
    format!("{}{}", printed.stderr, printed.stdout)
}
