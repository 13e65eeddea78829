//! `switchboard matrix`

use explain::{Matrix, matrix};
use miette::Report;
use scenario::{difference_lines, differences_json, matrix_json, matrix_lines};
use serde_json::json;

use crate::args::{InstantArgs, MatrixArgs, Output};
use crate::input::{self, Instant};
use crate::{Exit, output};

/// Prints who reaches which Service, or where two modes or instants differ in that.
pub(crate) fn run(args: &MatrixArgs) -> Result<Exit, Report> {
    let (instant, seen) = at(&args.instant)?;
    let other = InstantArgs {
        mode: args.diff.or(args.instant.mode),
        at: args.diff_at.clone().or_else(|| args.instant.at.clone()),
        ..args.instant.clone()
    };
    let label = format!("at {} · mode {}", instant.label, instant.mode);
    let text = if args.diff.is_none() && args.diff_at.is_none() {
        match args.output {
            Output::Human => page(&label, &matrix_lines(&seen)),
            Output::Json => format!("{:#}\n", listed(&instant, &matrix_json(&seen))),
        }
    } else {
        let (later, after) = at(&other)?;
        let found = seen.differences(&after);
        let both = format!("- {label}\n+ at {} · mode {}", later.label, later.mode);
        match (args.output, found.is_empty()) {
            (Output::Human, true) => format!("{both}\nno difference\n"),
            (Output::Human, false) => page(&both, &difference_lines(&found)),
            (Output::Json, _) => {
                let json = json!({"differences": differences_json(&found)});
                format!("{:#}\n", listed(&instant, &json))
            }
        }
    };
    output::print(&text)?;
    Ok(Exit::Passed)
}

fn at(args: &InstantArgs) -> Result<(Instant, Matrix), Report> {
    let mut instant = input::at_instant(args)?;
    let seen = matrix(&mut instant.sim).map_err(|why| input::error(why.to_string(), None))?;
    // A simulated cluster has its control plane.
    Ok((instant, seen.unwrap_or_default()))
}

fn page(head: &str, lines: &[String]) -> String {
    format!("{head}\n{}\n", lines.join("\n"))
}

fn listed(instant: &Instant, facts: &serde_json::Value) -> serde_json::Value {
    let mut json = json!({
        "apiVersion": scenario::API_VERSION,
        "kind": "Matrix",
        "mode": instant.mode.as_str(),
        "atNs": instant.sim.control().now().as_nanos(),
    });
    if let (Some(into), Some(facts)) = (json.as_object_mut(), facts.as_object()) {
        into.extend(facts.clone());
    }
    json
}
