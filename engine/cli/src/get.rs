//! `switchboard get` and `switchboard describe`
//!
//! Standard output is kubectl's, to the byte, so that it can be piped and compared. The header that says which instant
//! it is about goes to standard error.

use kubectl::{Describe, Get, Printed, RequestError, Resources, Scope};
use miette::Report;
use sim::Sim;

use crate::args::{DescribeArgs, GetArgs, ObjectsArgs, PrintArgs};
use crate::input::{self, Instant};
use crate::{Exit, output};

/// Prints objects at an instant.
pub(crate) fn get(args: &GetArgs) -> Result<Exit, Report> {
    let instant = input::at_instant(&args.instant)?;
    let namespace = &instant.scenario.namespace;
    let printed = table(&args.objects, &args.print, &instant.sim, namespace);
    print(&instant, printed)
}

/// Describes objects at an instant.
pub(crate) fn describe(args: &DescribeArgs) -> Result<Exit, Report> {
    let instant = input::at_instant(&args.instant)?;
    let printed = description(&args.objects, &instant.sim, &instant.scenario.namespace);
    print(&instant, printed)
}

/// What `kubectl get` prints of a cluster; `namespace` is the default one.
///
/// # Errors
/// When the arguments name no objects; in kubectl's words.
pub(crate) fn table(
    objects: &ObjectsArgs,
    print: &PrintArgs,
    sim: &Sim,
    namespace: &str,
) -> Result<Printed, String> {
    let (resources, scope) = named(objects, namespace)?;
    let get = Get {
        selector: objects.selector.clone(),
        show_labels: print.show_labels,
        no_headers: print.no_headers,
        sort_by: print.sort_by.clone(),
        ..Get::new(resources, scope, print.output.clone().unwrap_or_default())
    };
    let found = get.find(sim.control().api());
    Ok(get.print(&found, sim.control().now()))
}

/// What `kubectl describe` prints of a cluster.
///
/// # Errors
/// When the arguments name no objects; in kubectl's words.
pub(crate) fn description(
    objects: &ObjectsArgs,
    sim: &Sim,
    namespace: &str,
) -> Result<Printed, String> {
    let (resources, scope) = named(objects, namespace)?;
    let describe = Describe::new(resources, scope, objects.selector.clone());
    let describe = describe.map_err(|why| format!("error: {why}"))?;
    Ok(describe.print(sim.control().api(), sim.control().now()))
}

fn named(args: &ObjectsArgs, namespace: &str) -> Result<(Resources, Scope), String> {
    let scope = match (args.all_namespaces, &args.namespace) {
        (true, _) => Scope::All,
        (false, Some(namespace)) => Scope::Namespace(namespace.clone()),
        (false, None) => Scope::Namespace(namespace.to_owned()),
    };
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let resources = Resources::parse(&words, &scope, args.selector.as_ref())
        .map_err(|why: RequestError| format!("error: {why}"))?;
    Ok((resources, scope))
}

fn print(instant: &Instant, printed: Result<Printed, String>) -> Result<Exit, Report> {
    let printed = match printed {
        Ok(printed) => printed,
        Err(why) => {
            output::complain(&why);
            return Ok(Exit::BadInput);
        }
    };
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
