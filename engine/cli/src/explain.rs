//! `switchboard explain`

use api::Kind;
use explain::{Diagnosis, Finding, Verdict, diagnose};
use miette::Report;
use serde_json::{Value, json};

use crate::args::{ExplainArgs, Output};
use crate::{Exit, input, output};

/// Diagnoses one Service at an instant.
pub(crate) fn run(args: &ExplainArgs) -> Result<Exit, Report> {
    let instant = input::at_instant(&args.instant)?;
    let service = scenario::object_key(&args.service, &instant.scenario.namespace)
        .map_err(|why| input::error(why.to_string(), None))?;
    if service.kind != Kind::Service {
        let why = format!("{service} is no Service");
        return Err(input::error(
            why,
            Some("write service/NAME or service/NAMESPACE/NAME"),
        ));
    }
    let diagnosis = diagnose(instant.sim.control(), &service);
    output::print(&match args.output {
        Output::Human => format!("at {}\n{diagnosis}\n", instant.label),
        Output::Json => json_text(&diagnosis, instant.sim.control().now().as_nanos()),
    })?;
    Ok(match diagnosis.verdict {
        Verdict::Healthy => Exit::Passed,
        Verdict::Broken => Exit::Failed,
        Verdict::Unknown => Exit::CannotTell,
    })
}

fn json_text(diagnosis: &Diagnosis, at_ns: u64) -> String {
    let findings: Vec<Value> = diagnosis.findings.iter().map(finding_json).collect();
    let value = json!({
        "apiVersion": "switchboard.dev/v1alpha1",
        "kind": "Diagnosis",
        "service": diagnosis.service.to_string(),
        "atNs": at_ns,
        "verdict": diagnosis.verdict.to_string(),
        "summary": diagnosis.summary,
        "findings": findings,
    });
    format!("{value:#}\n")
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "id": finding.id,
        "certainty": finding.certainty.to_string(),
        "subject": finding.subject.to_string(),
        "field": finding.field,
        "summary": finding.summary,
        "fix": finding.fix,
        "confirm": finding.confirm,
    })
}
