//! `switchboard explain`
//!
//! Exit code 1 where a Service is broken; else 3 where of one it cannot be told whether it works; else 0.

use api::ObjectKey;
use explain::{Diagnosis, Page, Question, Verdict, diagnose, page};
use miette::Report;
use scenario::{SourceRef, finding_json};
use serde_json::{Value, json};

use crate::args::{ExplainArgs, InstantArgs, Output};
use crate::input::{self, Instant};
use crate::{Exit, output};

/// Services of the cluster itself are told of only if something is wrong with them for everybody, unless they are asked
/// for.
const SYSTEM_NAMESPACE: &str = "kube-system";

/// Diagnoses one Service at an instant, or all of them, or prints the page of a failure mode.
pub(crate) fn run(args: &ExplainArgs) -> Result<Exit, Report> {
    match (&args.instant, args.subject.as_deref()) {
        (None, Some(id)) if is_id(id) => print_page(id, args.output),
        (None, _) => Err(input::error(
            "there is nothing to look at",
            Some(
                "name a scenario, manifests or a folder with --in; or a failure mode, such as DBG-21",
            ),
        )),
        (Some(instant), subject) => explain(args, instant, subject),
    }
}

fn explain(args: &ExplainArgs, at: &InstantArgs, subject: Option<&str>) -> Result<Exit, Report> {
    let instant = input::at_instant(at)?;
    let questions = questions(args, &instant, subject)?;
    let control = instant.sim.control();
    let mut diagnoses: Vec<Diagnosis> = questions
        .iter()
        .map(|question| diagnose(control, question))
        .collect();
    if subject.is_none() {
        diagnoses.retain(|found| {
            let is_system = found.service.namespace.as_deref() == Some(SYSTEM_NAMESPACE);
            !is_system || (args.from.is_none() && found.verdict != Verdict::Healthy)
        });
    }
    let exit = exit(&diagnoses);
    output::print(&match (args.output, subject) {
        (Output::Human, _) => human(&diagnoses, &instant.label),
        (Output::Json, Some(_)) => lines(&diagnosis_json(&diagnoses[0], at_ns(&instant))),
        (Output::Json, None) => lines(&list_json(&diagnoses, at_ns(&instant))),
    })?;
    Ok(exit)
}

/// What is asked: about the Service named, or about each that there is.
fn questions(
    args: &ExplainArgs,
    instant: &Instant,
    subject: Option<&str>,
) -> Result<Vec<Question>, Report> {
    let namespace = &instant.scenario.namespace;
    let help = Some("write service/NAME or service/NAMESPACE/NAME");
    let services = match subject {
        None => every_service(instant),
        Some(text) => {
            let key = scenario::object_key(text, namespace)
                .map_err(|why| input::error(why.to_string(), help))?;
            if key.kind != api::Kind::Service {
                return Err(input::error(format!("{key} is no Service"), help));
            }
            vec![key]
        }
    };
    let from = match &args.from {
        None => None,
        Some(text) => {
            let source = SourceRef::parse(text, namespace)
                .map_err(|why| input::error(why.to_string(), None))?;
            let source = source.resolve(&instant.sim).and_then(|source| {
                instant.sim.check_source(&source)?;
                Ok(source)
            });
            Some(source.map_err(|why| input::error(format!("--from: {why}"), None))?)
        }
    };
    let ask = |service| Question {
        refusal: instant.refusals.get(&service).cloned(),
        service,
        from: from.clone(),
        port: args.port,
        name: args.name.clone(),
    };
    Ok(services.into_iter().map(ask).collect())
}

/// Every Service that there is, and those that somebody could not make.
fn every_service(instant: &Instant) -> Vec<ObjectKey> {
    let mut services = explain::services(instant.sim.control().api());
    let refused = instant.refusals.keys();
    let refused = refused.filter(|key| key.kind == api::Kind::Service);
    let refused: Vec<ObjectKey> = refused
        .filter(|key| !services.contains(key))
        .cloned()
        .collect();
    services.extend(refused);
    services
}

fn exit(diagnoses: &[Diagnosis]) -> Exit {
    let has = |verdict| diagnoses.iter().any(|found| found.verdict == verdict);
    if has(Verdict::Broken) {
        Exit::Failed
    } else if has(Verdict::Unknown) || diagnoses.is_empty() {
        Exit::CannotTell
    } else {
        Exit::Passed
    }
}

/// What is broken first.
fn human(diagnoses: &[Diagnosis], label: &str) -> String {
    let mut text = format!("at {label}\n");
    if diagnoses.is_empty() {
        text.push_str("There are no Services to explain.\n");
    }
    let order = [Verdict::Broken, Verdict::Unknown, Verdict::Healthy];
    for verdict in order {
        for found in diagnoses.iter().filter(|found| found.verdict == verdict) {
            text.push_str(&format!("{found}\n"));
        }
    }
    text
}

fn is_id(text: &str) -> bool {
    text.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("DBG-"))
}

fn print_page(id: &str, format: Output) -> Result<Exit, Report> {
    let Some(Page { id, title, text }) = page(id) else {
        let first_and_last = (explain::pages().next(), explain::pages().last());
        let help = match first_and_last {
            (Some(first), Some(last)) => format!("pages are from {} to {}", first.id, last.id),
            _ => String::new(),
        };
        return Err(input::error(format!("there is no page {id}"), Some(&help)));
    };
    output::print(&match format {
        Output::Human => format!("{id}: {title}\n\n{text}\n"),
        Output::Json => lines(&json!({
            "apiVersion": scenario::API_VERSION,
            "kind": "FailureMode",
            "id": id,
            "title": title,
            "text": text,
        })),
    })?;
    Ok(Exit::Passed)
}

fn at_ns(instant: &Instant) -> u64 {
    instant.sim.control().now().as_nanos()
}

fn lines(value: &Value) -> String {
    format!("{value:#}\n")
}

fn list_json(diagnoses: &[Diagnosis], at_ns: u64) -> Value {
    let items: Vec<Value> = diagnoses
        .iter()
        .map(|found| diagnosis_json(found, at_ns))
        .collect();
    json!({
        "apiVersion": scenario::API_VERSION,
        "kind": "DiagnosisList",
        "atNs": at_ns,
        "items": items,
    })
}

fn diagnosis_json(diagnosis: &Diagnosis, at_ns: u64) -> Value {
    let findings: Vec<Value> = diagnosis.findings.iter().map(finding_json).collect();
    json!({
        "apiVersion": scenario::API_VERSION,
        "kind": "Diagnosis",
        "service": diagnosis.service.to_string(),
        "atNs": at_ns,
        "verdict": diagnosis.verdict.to_string(),
        "summary": diagnosis.summary,
        "findings": findings,
    })
}
