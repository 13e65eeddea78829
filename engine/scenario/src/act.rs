//! Doing what a step says, and judging what is seen.
//!
//! One function per verb; each asks the world, lets [`judge`] compare and puts what was seen into words.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use api::{DeleteOptions, Kind, Object, ObjectKey, Status};
use base::{SimTime, format_duration};
use control::{
    Host, Probe, ProbeAnswer, ProbeOutcome, ProbeRequest, ProbeSource, ReferenceError,
    ResolveRequest, World, WriteVerb,
};
use explain::Finding;
use kubectl::{Get, Objects, Output};
use serde_json::{Map, Value as Json, json};

use crate::expect::{Expect, Expectation, GetCheck, ProbeCheck, RulesCheck, Verdict, WriteCheck};
use crate::judge::{self, Mismatch};
use crate::report::nanos;
use crate::run::{CONVERGED_MAX, Runner};
use crate::step::{Action, Edit, Given, ProbeFrom, Wait};
use crate::{
    background, connect, fault, findings, held, matrix, proxy_step, repair, resolution, why,
};

/// What was seen, judged.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) passed: bool,
    /// For programs.
    pub(crate) observed: Json,
    /// For people.
    pub(crate) seen: Vec<String>,
    /// Why it failed.
    pub(crate) why: Vec<String>,
    /// What was found about a Service.
    pub(crate) findings: Vec<Finding>,
}

impl Judged {
    /// Nothing could be seen.
    pub(crate) fn failed(why: Vec<String>) -> Self {
        Self {
            passed: false,
            observed: json!({}),
            seen: Vec::new(),
            why,
            findings: Vec::new(),
        }
    }

    /// Something was done that nothing is expected of.
    pub(crate) fn done(observed: Json, seen: Vec<String>) -> Self {
        Self::by(&[], observed, seen)
    }

    /// The same with one more reason.
    pub(crate) fn also(mut self, why: String) -> Self {
        self.why.push(why);
        self
    }

    /// What was seen last by somebody who did not look to the end.
    pub(crate) fn given_up(self, looks: usize, at: SimTime) -> Self {
        let why = format!("gave up after looking {looks} times, at {at}");
        Self {
            passed: false,
            ..self.also(why)
        }
    }

    /// The same, saying how long it took to come about.
    pub(crate) fn late_by(mut self, wait: Duration) -> Self {
        let after = format!("after {}", format_duration(wait));
        match &mut self.seen[..] {
            _ if wait.is_zero() => {}
            [only] => {
                let _ = write!(only, " · {after}");
            }
            [_, ..] => self.seen.push(after),
            [] => {}
        }
        self
    }

    /// Judged by its mismatches.
    pub(crate) fn by(mismatches: &[Mismatch], observed: Json, seen: Vec<String>) -> Self {
        let why: Vec<String> = mismatches
            .iter()
            .map(|mismatch| mismatch.text.clone())
            .collect();
        Self {
            passed: why.is_empty(),
            observed,
            seen,
            why,
            findings: Vec::new(),
        }
    }
}

impl From<ReferenceError> for Judged {
    fn from(error: ReferenceError) -> Self {
        Self::failed(vec![error.to_string()])
    }
}

/// Does what `action` says.
pub(crate) fn act(runner: &mut Runner<'_>, action: &Action) -> Judged {
    let mode = runner.mode;
    match action {
        Action::Write {
            verb,
            manifests,
            expect,
        } => write(runner, *verb, manifests, expect.in_mode(mode)),
        Action::Delete {
            targets,
            options,
            expect,
        } => delete(runner, targets, options, expect.in_mode(mode)),
        Action::Change {
            target,
            change,
            expect,
        } => edit(runner, target, change, expect.in_mode(mode)),
        Action::Wait(wait) => pass_time(runner, *wait),
        Action::Get { request, expect } | Action::Events { request, expect } => runner
            .look(expect.in_mode(mode), |runner, check| {
                get(&*runner.world, request, check)
            }),
        Action::Resolve {
            from,
            name,
            record_type,
            protocol,
            expect,
        } => runner.look(expect.in_mode(mode), |runner, check| {
            let request = |from| ResolveRequest {
                from,
                name: name.clone(),
                record_types: vec![record_type.clone()],
                protocol: *protocol,
            };
            let from = from.resolve(runner.world);
            let judged = from.and_then(|from| resolution::resolve(runner, &request(from), check));
            judged.unwrap_or_else(Judged::from)
        }),
        Action::Connect { from, dial, expect } => {
            runner.look(expect.in_mode(mode), |runner, check| {
                connect::connect(runner, from, dial, check).unwrap_or_else(Judged::from)
            })
        }
        Action::Probe {
            node,
            from,
            to,
            protocol,
            expect,
        } => runner.look(expect.in_mode(mode), |runner, check| {
            let from = match from {
                ProbeFrom::Source(source) => source.resolve(runner.world).map(ProbeSource::Source),
                ProbeFrom::Address(address) => Ok(ProbeSource::Address(*address)),
            };
            let from = match from {
                Ok(from) => from,
                Err(error) => return error.into(),
            };
            let address = match (&to.host, &from) {
                (Host::Address(address), _) => Ok(*address),
                (Host::Name(name), ProbeSource::Source(from)) => {
                    runner.world.address_of(from, name)
                }
                (Host::Name(name), ProbeSource::Address(ip)) => {
                    Err(format!("{ip} has no resolver to ask for {name}"))
                }
            };
            let address = match address {
                Ok(address) => address,
                Err(why) => return Judged::failed(vec![why]),
            };
            let seen = runner.world.probe(&ProbeRequest {
                node: node.clone(),
                from,
                to: SocketAddr::new(address, to.port),
                protocol: *protocol,
            });
            seen.map_or_else(Judged::from, |seen| probe(&seen, check))
        }),
        Action::Rules { node, expect } => runner.look(expect.in_mode(mode), |runner, check| {
            let text = runner.world.rules(node);
            text.map_or_else(Judged::from, |text| {
                let count = runner.world.figures().rules.get(node).copied();
                rules(&text, count.unwrap_or_default(), check)
            })
        }),
        Action::Fault(step) => fault::begin(runner, step),
        Action::Heal(name) => fault::heal(runner, name),
        Action::Proxy(step) => proxy_step::change(runner, step),
        Action::Open {
            id,
            from,
            dial,
            expect,
        } => once(runner, expect, |runner, check| {
            held::open(runner, id, from, dial, check)
        }),
        Action::Send {
            on,
            payload,
            timeout,
            expect,
        } => once(runner, expect, |runner, check| {
            held::send(runner, on, payload, *timeout, check)
        }),
        Action::Close { id } => held::close(runner, id).unwrap_or_else(Judged::from),
        Action::Traffic(start) => background::traffic(runner, start).unwrap_or_else(Judged::from),
        Action::Stop { id, expect } => once(runner, expect, |runner, check| {
            background::stop(runner, id, check)
        }),
        Action::Explain { asked, expect } => runner.look(expect.in_mode(mode), |runner, check| {
            findings::explain(runner, asked, check).unwrap_or_else(Judged::from)
        }),
        Action::Matrix => matrix::act(runner.world).unwrap_or_else(Judged::from),
        Action::Await { .. } => repair::carry_out(runner),
    }
}

/// Does what cannot be repeated.
fn once<T>(
    runner: &mut Runner<'_>,
    expect: &Expect<T>,
    act: impl FnOnce(&mut Runner<'_>, Option<&T>) -> Result<Judged, ReferenceError>,
) -> Judged {
    let check = expect.in_mode(runner.mode).map(|expected| &expected.check);
    act(runner, check).unwrap_or_else(Judged::from)
}

fn write(
    runner: &mut Runner<'_>,
    verb: WriteVerb,
    manifests: &[Given],
    expectation: Option<&Expectation<WriteCheck>>,
) -> Judged {
    let mut done = Done::default();
    for given in manifests {
        let manifest = match given {
            Ok(manifest) => manifest,
            Err(malformed) => {
                done.errors.push(malformed.kubectl_text());
                continue;
            }
        };
        let key = manifest.object.key();
        match runner.world.write(verb, manifest.object.clone()) {
            Ok(written) => {
                runner.refusals().remove(&key);
                done.lines.push(written.to_string());
                done.warnings.extend(written.warnings);
                done.warnings.extend(runner.inert(&manifest.object));
            }
            Err(status) => {
                runner.refusals().insert(key, status.error_text());
                done.refused(&status);
            }
        }
    }
    done.judged(expectation)
}

fn delete(
    runner: &mut Runner<'_>,
    targets: &[ObjectKey],
    options: &DeleteOptions,
    expectation: Option<&Expectation<WriteCheck>>,
) -> Judged {
    let mut done = Done::default();
    for key in targets {
        match runner.world.delete_with(key, options) {
            Ok(()) => {
                // What it was once refused is nobody's concern any more.
                runner.refusals().remove(key);
                done.lines
                    .push(format!("{} {:?} deleted", key.singular(), key.name));
            }
            Err(status) => done.refused(&status),
        }
    }
    done.judged(expectation)
}

fn edit(
    runner: &mut Runner<'_>,
    target: &ObjectKey,
    change: &Edit,
    expectation: Option<&Expectation<WriteCheck>>,
) -> Judged {
    let mut done = Done::default();
    let patch = change.patch(runner.world.now());
    match runner.world.patch(target, &patch) {
        Ok(written) => {
            runner.refusals().remove(target);
            let named = |word| format!("{}/{} {word}", target.singular(), target.name);
            done.lines.push(match change {
                Edit::Merge(_) => written.to_string(),
                Edit::Scale(_) => named("scaled"),
                Edit::Restart => named("restarted"),
            });
            done.warnings.extend(written.warnings);
        }
        Err(status) => {
            runner
                .refusals()
                .insert(target.clone(), status.error_text());
            done.refused(&status);
        }
    }
    done.judged(expectation)
}

/// What kubectl would have printed.
#[derive(Default)]
struct Done {
    lines: Vec<String>,
    warnings: Vec<String>,
    errors: Vec<String>,
}

impl Done {
    fn refused(&mut self, status: &Status) {
        self.errors.push(status.kubectl_text());
    }

    fn judged(self, expectation: Option<&Expectation<WriteCheck>>) -> Judged {
        let mismatches = match expectation {
            Some(expectation) => judge::error_text(
                &expectation.check.error,
                self.errors.first().map(String::as_str),
            ),
            None => self.errors.iter().cloned().map(Mismatch::from).collect(),
        };
        let mut observed = Map::new();
        observed.insert("results".to_owned(), self.lines.clone().into());
        let rest = [("warnings", &self.warnings), ("errors", &self.errors)];
        for (key, texts) in rest.into_iter().filter(|(_, texts)| !texts.is_empty()) {
            observed.insert(key.to_owned(), texts.clone().into());
        }
        let warnings = self.warnings.iter().map(|text| format!("Warning: {text}"));
        let seen = self.lines.into_iter().chain(warnings).chain(self.errors);
        Judged::by(&mismatches, observed.into(), seen.collect())
    }
}

fn pass_time(runner: &mut Runner<'_>, wait: Wait) -> Judged {
    let begun = runner.world.now();
    let done = match wait {
        Wait::For(span) => {
            runner.advance_to(begun + span);
            return Judged::by(&[], json!({}), Vec::new());
        }
        Wait::Converged => runner.converge(),
    };
    match done {
        Ok(at) => {
            let seen = format!("at rest after {}", format_duration(at - begun));
            Judged::by(&[], json!({"tookNs": nanos(at - begun)}), vec![seen])
        }
        Err(due) => {
            let now = runner.world.now();
            let what = match runner.world.next_change_at() {
                Some(change) if change == due => "a change of the cluster",
                _ => "packets under way",
            };
            let why = format!(
                "something is pending at {now} that is due only at {due} ({what}), more than {} after the wait began",
                format_duration(CONVERGED_MAX)
            );
            Judged::by(
                &[why.into()],
                json!({"nextNs": due.as_nanos()}),
                vec![format!("not at rest; the next thing is due at {due}")],
            )
        }
    }
}

/// A world, as kubectl asks it.
struct Asked<'a>(&'a dyn World);

impl Objects for Asked<'_> {
    fn get(&self, key: &ObjectKey) -> Result<Object, Status> {
        self.0.get(key)
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Object> {
        self.0.list(kind, namespace)
    }
}

/// What kubectl says when no API server answers.
fn unreachable(status: &Status, check: Option<&GetCheck>) -> Judged {
    let error = status.error_text();
    let mismatches = match check {
        Some(GetCheck::Error(check)) => judge::error_text(check, Some(&error)),
        _ => vec![error.clone().into()],
    };
    Judged::by(&mismatches, json!({ "error": error }), vec![error])
}

/// What kubectl prints; where that is nothing, what it says about it.
fn get(world: &dyn World, request: &Get, check: Option<&GetCheck>) -> Judged {
    if let Err(status) = world.check_reachable() {
        return unreachable(&status, check);
    }
    let found = request.find(&Asked(world));
    let printed = request.print(&found, world.now());
    let errors: Vec<String> = found.errors().iter().map(Status::error_text).collect();
    let error = (!errors.is_empty()).then(|| errors.join("\n"));
    let text = match printed.stdout.is_empty() {
        true => &printed.stderr,
        false => &printed.stdout,
    };
    let mismatches = match (check, &error) {
        (Some(GetCheck::Error(check)), error) => judge::error_text(check, error.as_deref()),
        (_, Some(error)) => vec![error.clone().into()],
        (None, None) => Vec::new(),
        (Some(GetCheck::Object(given)), None) => judge::object(given, &found.to_json()),
        (Some(GetCheck::Output(check)), None) => judge::text(check, text, "the output"),
    };
    let lines = printed.stderr.lines().chain(printed.stdout.lines());
    let seen = lines.map(str::to_owned).collect();
    let mut observed = Map::new();
    if let Some(error) = error {
        observed.insert("error".to_owned(), error.into());
    } else {
        observed.insert("output".to_owned(), text.clone().into());
        let is_asked = matches!(check, Some(GetCheck::Object(_)));
        if is_asked || matches!(request.output, Output::Table | Output::Wide) {
            observed.insert("object".to_owned(), found.to_json());
        }
    }
    Judged::by(&mismatches, observed.into(), seen)
}

fn probe(seen: &Probe, check: Option<&ProbeCheck>) -> Judged {
    let mismatches = check.map_or_else(Vec::new, |check| judge::probe(check, seen));
    let shares = judge::probe_shares(seen);
    let outcomes = shares.iter().map(|(outcome, share)| match outcome {
        ProbeOutcome::Endpoint { to, snat } => {
            let mut json = json!({"to": to.to_string(), "snat": snat, "p": rounded(*share)});
            match seen.answers.get(to) {
                Some(ProbeAnswer::Heard) => json["answered"] = true.into(),
                Some(ProbeAnswer::Unheard(why)) => {
                    json["answered"] = false.into();
                    json["unheard"] = json!(why.to_string());
                }
                Some(ProbeAnswer::Unknown) | None => {}
            }
            json
        }
        other => {
            json!({"verdict": judge::verdict_of(other).map(Verdict::as_str), "p": rounded(*share)})
        }
    });
    let observed = json!({"node": seen.node, "outcomes": outcomes.collect::<Vec<_>>()});
    let words = shares.iter().map(|(outcome, share)| match share {
        1.0 => judge::probe_words(outcome),
        share => format!("{} {}", judge::percent(*share), judge::probe_words(outcome)),
    });
    let mut judged = Judged::by(
        &mismatches,
        observed,
        vec![words.collect::<Vec<_>>().join(", ")],
    );
    if !judged.passed {
        judged.why.extend(seen.decisions.iter().map(why::decision));
    }
    judged
}

/// A share with six digits: what lies behind is how kernels round.
fn rounded(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

fn rules(text: &str, count: usize, check: Option<&RulesCheck>) -> Judged {
    let mismatches = check.map_or_else(Vec::new, |check| judge::rules(check, text));
    let mut observed = json!({"rules": count, "lines": text.lines().count()});
    if let Some(check) = check {
        let asked = check.contains.iter().chain(&check.absent);
        let (there, missing): (Vec<&str>, Vec<&str>) = asked
            .map(String::as_str)
            .partition(|part| text.contains(part));
        observed["contains"] = there.into();
        observed["absent"] = missing.into();
    }
    Judged::by(&mismatches, observed, vec![format!("{count} rules")])
}
