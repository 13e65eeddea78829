//! The step `explain`: what is found about a Service, as expected or not.

use api::ObjectKey;
use control::ReferenceError;
use explain::{AskedPort, Diagnosis, Finding, Question, Verdict, diagnose};
use serde_json::{Value as Json, json};

use crate::act::Judged;
use crate::expect::{ExplainCheck, Findings};
use crate::judge::Mismatch;
use crate::reference::SourceRef;
use crate::run::Runner;

/// What a step asks about.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The Service.
    pub service: ObjectKey,
    /// Who cannot reach it.
    pub from: Option<SourceRef>,
    /// At which port.
    pub port: Option<AskedPort>,
    /// By which name it is called.
    pub name: Option<String>,
}

/// A finding, as reports and the command line have it.
#[must_use]
pub fn finding_json(finding: &Finding) -> Json {
    let confirm = finding
        .confirm
        .iter()
        .map(|check| json!({"command": check.command, "prints": check.prints}));
    json!({
        "id": finding.id,
        "certainty": finding.certainty.as_str(),
        "severity": finding.severity.as_str(),
        "subject": finding.subject.to_string(),
        "field": finding.field,
        "sees": finding.sees,
        "why": finding.why,
        "fix": finding.fix,
        "confirm": confirm.collect::<Vec<_>>(),
    })
}

/// Diagnoses the Service that is asked about, and judges.
pub(crate) fn explain(
    runner: &mut Runner<'_>,
    asked: &Asked,
    check: Option<&ExplainCheck>,
) -> Result<Judged, ReferenceError> {
    let refusal = runner.refusals().get(&asked.service).cloned();
    let world = &*runner.world;
    let Some(control) = world.control() else {
        let why = "this cluster's control plane cannot be looked into, so nothing can be explained";
        return Ok(Judged::failed(vec![why.to_owned()]));
    };
    let from = asked.from.as_ref().map(|from| from.resolve(world));
    let question = Question {
        service: asked.service.clone(),
        from: from.transpose()?,
        port: asked.port,
        name: asked.name.clone(),
        refusal,
    };
    let seen = diagnose(control, &question);
    let mismatches = check.map_or_else(Vec::new, |check| judge(check, &seen));
    let observed = json!({
        "verdict": word(seen.verdict),
        "findings": seen.findings.iter().map(|found| found.id).collect::<Vec<_>>(),
    });
    let told = seen.to_string().lines().map(str::to_owned).collect();
    let judged = Judged::by(&mismatches, observed, told);
    Ok(Judged {
        findings: seen.findings,
        ..judged
    })
}

fn judge(check: &ExplainCheck, seen: &Diagnosis) -> Vec<Mismatch> {
    let mut mismatches: Vec<Mismatch> = Vec::new();
    if let Some(wanted) = check.verdict
        && wanted != seen.verdict
    {
        mismatches.push(format!("the Service is {}", seen.verdict).into());
    }
    let (wanted, exactly) = match &check.findings {
        None => return mismatches,
        Some(Findings::Exactly(ids)) => (ids, true),
        Some(Findings::Contain(ids)) => (ids, false),
    };
    let is_found = |id: &&&str| seen.findings.iter().any(|found| found.id == **id);
    let missing = wanted.iter().filter(|id| !is_found(id));
    mismatches.extend(missing.map(|id| format!("{id} is not found").into()));
    let more = seen
        .findings
        .iter()
        .filter(|found| exactly && !wanted.contains(&found.id));
    mismatches.extend(
        more.map(|found| format!("{} is found, and not expected: {}", found.id, found.why).into()),
    );
    mismatches
}

/// As expectations spell a verdict.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "healthy",
        Verdict::Broken => "broken",
        Verdict::Unknown => "unknown",
    }
}
