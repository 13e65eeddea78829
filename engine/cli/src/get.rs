//! `switchboard get` and `switchboard describe`
//!
//! Standard output is kubectl's, to the byte, so that it can be piped and compared. The header that says which instant
//! it is about goes to standard error.

use base::SimTime;
use kubectl::{Describe, Get, Printed, RequestError, Resources, Scope};
use miette::Report;

use crate::args::{DescribeArgs, GetArgs, ObjectsArgs};
use crate::input::{self, Instant};
use crate::{Exit, output};

/// Prints objects at an instant.
pub(crate) fn get(args: &GetArgs) -> Result<Exit, Report> {
    let instant = input::at_instant(&args.instant)?;
    let (resources, scope) = named(&args.objects, &instant)?;
    let get = Get {
        selector: args.objects.selector.clone(),
        show_labels: args.show_labels,
        no_headers: args.no_headers,
        sort_by: args.sort_by.clone(),
        ..Get::new(resources, scope, args.output.clone().unwrap_or_default())
    };
    let found = get.find(instant.sim.control().api());
    print(&instant, &get.print(&found, now(&instant)))
}

/// Describes objects at an instant.
pub(crate) fn describe(args: &DescribeArgs) -> Result<Exit, Report> {
    let instant = input::at_instant(&args.instant)?;
    let (resources, scope) = named(&args.objects, &instant)?;
    let describe = Describe::new(resources, scope, args.objects.selector.clone())
        .map_err(|why| input::error(why.to_string(), None))?;
    let printed = describe.print(instant.sim.control().api(), now(&instant));
    print(&instant, &printed)
}

fn named(args: &ObjectsArgs, instant: &Instant) -> Result<(Resources, Scope), Report> {
    let namespace = args
        .namespace
        .as_ref()
        .unwrap_or(&instant.scenario.namespace);
    let scope = match args.all_namespaces {
        true => Scope::All,
        false => Scope::Namespace(namespace.clone()),
    };
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let resources = Resources::parse(&words, &scope, args.selector.as_ref())
        .map_err(|why: RequestError| input::error(why.to_string(), None))?;
    Ok((resources, scope))
}

fn now(instant: &Instant) -> SimTime {
    instant.sim.control().now()
}

fn print(instant: &Instant, printed: &Printed) -> Result<Exit, Report> {
    let Instant {
        scenario,
        mode,
        label,
        ..
    } = instant;
    output::complain(&format!(
        "# scenario {}, mode {mode}, seed {}, at {label}",
        scenario.name,
        scenario.seed.value()
    ));
    for line in printed.stderr.lines() {
        output::complain(line);
    }
    output::print(&printed.stdout)?;
    Ok(match printed.is_failure {
        true => Exit::Failed,
        false => Exit::Passed,
    })
}
