//! `switchboard resolve`: one lookup, query by query, as the resolver of a Pod makes it.

use std::fmt::Write as _;
use std::net::IpAddr;

use control::{Attempt, Resolution, ResolveRequest, Source, World as _, is_query_name};
use miette::Report;
use ruleset::Protocol;
use scenario::{SourceRef, attempts_json};
use serde_json::{Value, json};

use crate::args::{InstantArgs, Output};
use crate::input::Instant;
use crate::{Exit, input, output};

/// What is to be looked up, and by whom.
#[derive(Debug, clap::Args)]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    instant: InstantArgs,
    /// Who asks: pod/NAME, pod/NAMESPACE/NAME, node/NAME or outside/NAME
    #[arg(long, value_name = "SOURCE")]
    from: String,
    /// A name; with a final dot it is not looked for in the search list. Or an address, whose names are asked for
    #[arg(value_name = "NAME")]
    name: String,
    /// Of which type: SRV, say [default: A and AAAA at once, as programs ask; PTR of an address]
    #[arg(long = "type", value_name = "TYPE", value_parser = ResolveRequest::TYPES)]
    record_type: Option<String>,
    /// Ask over TCP from the start
    #[arg(long)]
    tcp: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Looks a name up; exit code 1 when there is no answer.
pub(crate) fn run(args: &ResolveArgs) -> Result<Exit, Report> {
    let mut instant = input::at_instant(&args.instant)?;
    let bad = |why: String| input::error(format!("--from: {why}"), None);
    let from = SourceRef::parse(&args.from, &instant.scenario.namespace)
        .map_err(|why| bad(why.to_string()))?;
    let from = from
        .resolve(&instant.sim)
        .map_err(|why| bad(why.to_string()))?;
    let request = request(args, from)?;
    let conf = instant.sim.resolv_conf(&request.from).to_string();
    let complaints = instant.sim.resolver_complaints(&request.from);
    let seen = instant.sim.resolve(&request);
    let seen = seen.map_err(|why| bad(why.to_string()))?;
    let story = Story {
        request: &request,
        conf,
        complaints,
        seen,
    };
    output::print(&match args.output {
        Output::Human => story.human(&instant),
        Output::Json => story.json(&instant),
    })?;
    Ok(match story.seen.answers.is_empty() {
        true => Exit::Failed,
        false => Exit::Passed,
    })
}

fn request(args: &ResolveArgs, from: Source) -> Result<ResolveRequest, Report> {
    let is_address = args.name.parse::<IpAddr>().is_ok();
    let record_types = match &args.record_type {
        Some(record_type) => vec![record_type.clone()],
        None if is_address => vec!["PTR".to_owned()],
        None => ["A", "AAAA"].map(str::to_owned).to_vec(),
    };
    let is_name = is_query_name(&args.name) || (is_address && record_types == ["PTR"]);
    if !is_name {
        return Err(input::error(
            format!("{:?} is no host name", args.name),
            None,
        ));
    }
    Ok(ResolveRequest {
        from,
        name: args.name.clone(),
        record_types,
        protocol: match args.tcp {
            true => Protocol::TCP,
            false => Protocol::UDP,
        },
    })
}

/// A lookup with all that belongs to it.
struct Story<'a> {
    request: &'a ResolveRequest,
    conf: String,
    complaints: Vec<String>,
    seen: Resolution,
}

impl Story<'_> {
    fn human(&self, instant: &Instant) -> String {
        let ResolveRequest {
            from,
            name,
            record_types,
            ..
        } = self.request;
        let mut text = format!(
            "{from} looks up {name} ({})   at {}, mode {}\n\nresolv.conf\n",
            record_types.join(", "),
            instant.label,
            instant.mode
        );
        let lines = self.conf.lines().map(str::to_owned);
        for line in lines.chain(self.complaints.iter().map(|line| format!("# {line}"))) {
            let _ = writeln!(text, "  {line}");
        }
        if self.conf.is_empty() {
            text.push_str("  # no server that knows the cluster's names\n");
        }
        text.push_str("\nqueries\n");
        if self.seen.attempts.is_empty() {
            text.push_str("  none\n");
        }
        let widest = self.seen.attempts.iter().map(|attempt| attempt.name.len());
        let width = widest.max().unwrap_or_default();
        for (index, attempt) in self.seen.attempts.iter().enumerate() {
            let Attempt {
                name,
                record_type,
                server,
                result,
                ..
            } = attempt;
            let protocol = attempt.protocol.to_string().to_uppercase();
            let _ = writeln!(
                text,
                "  {:>2}  {name:<width$}  {record_type:<5}  {server} {protocol}  {result}",
                index + 1
            );
        }
        text.push_str("\nanswer\n");
        for answer in &self.seen.answers {
            let _ = writeln!(
                text,
                "  {}  {}  IN  {}  {}",
                answer.name, answer.ttl, answer.record_type, answer.data
            );
        }
        let took = self.seen.finished.since(self.seen.started);
        let _ = writeln!(
            text,
            "  {}: {}, in {}",
            self.seen.rcode,
            meaning(&self.seen),
            base::format_duration(took)
        );
        text
    }

    fn json(&self, instant: &Instant) -> String {
        let answers = self.seen.answers.iter().map(|answer| {
            json!({
                "name": answer.name,
                "type": answer.record_type,
                "ttl": answer.ttl,
                "data": answer.data,
            })
        });
        let value = json!({
            "apiVersion": "switchboard.dev/v1alpha1",
            "kind": "Resolution",
            "scenario": instant.scenario.name,
            "mode": instant.mode.as_str(),
            "seed": instant.scenario.seed.value(),
            "from": self.request.from.to_string(),
            "name": self.request.name,
            "types": self.request.record_types,
            "resolvConf": self.conf.lines().collect::<Vec<_>>(),
            "complaints": self.complaints,
            "startedNs": self.seen.started.as_nanos(),
            "finishedNs": self.seen.finished.as_nanos(),
            "rcode": self.seen.rcode,
            "queries": attempts_json(&self.seen.attempts),
            "answers": answers.collect::<Vec<Value>>(),
        });
        format!("{value:#}\n")
    }
}

/// What a response code comes to.
fn meaning(seen: &Resolution) -> &'static str {
    match (seen.rcode.as_str(), seen.answers.is_empty()) {
        ("NOERROR", false) => "found",
        ("NOERROR", true) => "the name exists and has no such record",
        ("NXDOMAIN", _) => "there is no such name",
        ("TIMEOUT", _) => "no server answered",
        _ => "the server did not answer the question",
    }
}
