//! What a step does: one verb with its settings.

use std::net::IpAddr;

use api::{DeleteOptions, Kind, ObjectKey, Propagation, Selector};
use control::{Host, ResolveRequest, Target, WriteVerb, is_host_name, is_query_name};
use kubectl::{Get, Output, Resources, Scope};
use ruleset::Protocol;
use serde_json::Value as Json;

use super::check::{self, Repeat, expect};
use super::manifests::Files;
use super::{Setting, explain, fault, nodes, proxy, traffic};
use crate::cursor::{Cursor, Fields, Noted, Read};
use crate::reference::{SourceRef, object_key};
use crate::step::{Action, Dial, Edit, ProbeFrom, Wait};

/// Connections of one step.
const COUNT_MAX: u64 = 100_000;
/// Pods of one workload.
const REPLICAS_MAX: u64 = 150_000;
/// Objects of one step.
const TARGETS_MAX: usize = 10_000;

const VERBS: [&str; 25] = [
    "apply", "create", "replace", "delete", "patch", "scale", "restart", "wait", "get", "resolve",
    "connect", "probe", "rules", "open", "send", "close", "traffic", "stop", "proxy", "fault",
    "heal", "explain", "matrix", "events", "await",
];
/// What rules know of.
const PROTOCOLS: [(&str, Protocol); 3] = [
    ("TCP", Protocol::TCP),
    ("UDP", Protocol::UDP),
    ("SCTP", Protocol::SCTP),
];

/// Reads the one verb of a step and its expectation; `None` if it has no verb.
pub(super) fn action(
    step: &mut Fields<'_>,
    setting: &Setting<'_>,
    files: &mut Files<'_>,
) -> Read<Option<Action>> {
    let mut verbs = VERBS
        .into_iter()
        .filter_map(|verb| step.take(verb).map(|at| (verb, at)));
    let (first, second) = (verbs.next(), verbs.next());
    let (verb, at) = match (first, second) {
        (Some(verb), None) => verb,
        (Some((first, _)), Some((second, at))) => {
            let message = format!("a step does one thing, and this one has `{first}` already");
            return Err(at.refuse_key(message, Some(format!("make `{second}` a step of its own"))));
        }
        (None, _) => return Ok(None),
    };
    let action = match verb {
        "apply" => write(step, WriteVerb::Apply, &at, setting, files),
        "create" => write(step, WriteVerb::Create, &at, setting, files),
        "replace" => write(step, WriteVerb::Replace, &at, setting, files),
        "delete" => delete(step, &at, setting),
        "patch" => patch(step, &at, setting),
        "scale" => scale(step, &at, setting),
        "restart" => restart(step, &at, setting),
        "wait" => wait(step, &at),
        "get" => get(step, &at, setting),
        "events" => events(step, &at, setting),
        "resolve" => resolve(step, &at, setting),
        "connect" => connect(step, &at, setting),
        "probe" => probe(step, &at, setting),
        "open" => traffic::open(step, &at, setting),
        "send" => traffic::send(step, &at, setting),
        "close" => traffic::close(step, &at),
        "traffic" => traffic::traffic(step, &at, setting),
        "stop" => traffic::stop(step, &at, setting),
        "proxy" => without_expectation(step, verb).and_then(|()| proxy::step(&at, setting, files)),
        "fault" => without_expectation(step, verb).and_then(|()| fault::fault(&at, setting)),
        "heal" => without_expectation(step, verb).and_then(|()| fault::heal(&at)),
        "explain" => explain::explain(step, &at, setting),
        "matrix" => without_expectation(step, verb).and_then(|()| explain::matrix(&at)),
        "await" => without_expectation(step, verb).and_then(|()| explain::awaited(&at)),
        _ => rules(step, &at, setting),
    };
    action.map(Some)
}

/// Which verbs there are, for people.
pub(super) fn supported() -> String {
    format!("supported steps: {}", VERBS.join(", "))
}

fn write(
    step: &mut Fields<'_>,
    verb: WriteVerb,
    at: &Cursor<'_>,
    setting: &Setting<'_>,
    files: &mut Files<'_>,
) -> Read<Action> {
    let manifests = match step.has("expect") {
        true => files.inline_or_refused(at, setting.namespace),
        false => files
            .inline(at, setting.namespace)
            .map(|manifests| manifests.into_iter().map(Ok).collect()),
    };
    let expect = expect(step, Repeat::Writes, check::write);
    Ok(Action::Write {
        verb,
        manifests: manifests?,
        expect: expect?,
    })
}

/// Reads what is deleted: a reference, a list, or `target` with kubectl's options beside it.
fn delete(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    const CASCADES: [(&str, Propagation); 3] = [
        ("background", Propagation::Background),
        ("foreground", Propagation::Foreground),
        ("orphan", Propagation::Orphan),
    ];
    let read = |at: &Cursor<'_>| at.one_or_list(TARGETS_MAX, |item| target(&item, setting));
    let (targets, options) = if at.value().is_mapping() {
        let mut fields = at.fields()?;
        let targets = fields.need("target", read);
        let propagation = fields.may("cascade", |at| at.word(&CASCADES));
        let grace = fields.may("gracePeriod", whole_seconds);
        fields.finish()?;
        let options = DeleteOptions {
            grace: grace?,
            propagation: propagation?,
            ..DeleteOptions::default()
        };
        (targets, options)
    } else {
        (read(at), DeleteOptions::default())
    };
    let expect = expect(step, Repeat::Writes, check::write);
    Ok(Action::Delete {
        targets: targets?,
        options,
        expect: expect?,
    })
}

/// Reads a span that is a number of seconds.
fn whole_seconds(at: &Cursor<'_>) -> Read<u64> {
    let span = at.duration()?;
    match span.subsec_nanos() {
        0 => Ok(span.as_secs()),
        _ => Err(at.refuse("expected whole seconds")),
    }
}

fn patch(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let target = fields.need("target", |at| target(at, setting));
    let patch = fields.need("patch", |at| match at.json()? {
        Json::Object(patch) => Ok(patch),
        _ => Err(at.mismatch("a mapping, which is merged into the object")),
    });
    fields.finish()?;
    change(step, target, patch.map(Edit::Merge))
}

fn scale(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    const SCALABLE: [Kind; 3] = [Kind::Deployment, Kind::ReplicaSet, Kind::StatefulSet];
    let mut fields = at.fields()?;
    let target = fields.need("target", |at| workload(at, setting, &SCALABLE));
    let replicas = fields.need("replicas", |at| at.integer(0..=REPLICAS_MAX));
    fields.finish()?;
    let replicas = replicas.map(|count| u32::try_from(count).expect("at most REPLICAS_MAX"));
    change(step, target, replicas.map(Edit::Scale))
}

fn restart(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    const RESTARTABLE: [Kind; 3] = [Kind::Deployment, Kind::DaemonSet, Kind::StatefulSet];
    let target = workload(at, setting, &RESTARTABLE);
    change(step, target, Ok(Edit::Restart))
}

fn change(step: &mut Fields<'_>, target: Read<ObjectKey>, change: Read<Edit>) -> Read<Action> {
    let expect = expect(step, Repeat::Writes, check::write);
    Ok(Action::Change {
        target: target?,
        change: change?,
        expect: expect?,
    })
}

pub(super) fn target(at: &Cursor<'_>, setting: &Setting<'_>) -> Read<ObjectKey> {
    object_key(at.text()?, setting.namespace).map_err(|error| at.refuse(error))
}

/// Reads a reference to an object of one of `kinds`.
fn workload(at: &Cursor<'_>, setting: &Setting<'_>, kinds: &[Kind]) -> Read<ObjectKey> {
    let key = target(at, setting)?;
    if kinds.contains(&key.kind) {
        return Ok(key);
    }
    let kinds: Vec<String> = kinds
        .iter()
        .map(|kind| format!("{}/…", kind.name().to_lowercase()))
        .collect();
    Err(at.refuse(format!(
        "{key} cannot stand here: expected {}",
        kinds.join(", ")
    )))
}

fn without_expectation(step: &mut Fields<'_>, verb: &str) -> Read<()> {
    match step.take("expect") {
        None => Ok(()),
        Some(at) => Err(at.refuse_key(
            format!("a `{verb}` expects nothing"),
            Some("give the next step the expectation".to_owned()),
        )),
    }
}

fn wait(step: &mut Fields<'_>, at: &Cursor<'_>) -> Read<Action> {
    without_expectation(step, "wait")?;
    match at.value().as_str() {
        Some("converged") => Ok(Action::Wait(Wait::Converged)),
        Some(text) if base::parse_duration(text).is_err() => Err(at.refuse(format!(
            "{text:?} is neither a duration such as 2s nor `converged`"
        ))),
        _ => Ok(Action::Wait(Wait::For(at.duration()?))),
    }
}

fn get(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let namespace = fields.or("namespace", setting.namespace, Cursor::name);
    let selector = fields.may("selector", Cursor::parsed::<Selector>);
    let resource = fields.need("resource", |at| Ok((at.clone(), at.name()?)));
    let output = fields.or("output", Output::Table, Cursor::parsed);
    fields.finish()?;
    let (namespace, selector, (resource_at, resource)) = (namespace?, selector?, resource?);
    let scope = Scope::Namespace(namespace.to_owned());
    let resources = resources(resource, &scope, namespace, selector.as_ref())
        .map_err(|message| resource_at.refuse(message));
    let expect = expect(step, Repeat::Looks, check::get);
    let request = Get {
        selector,
        ..Get::new(resources?, scope, output?)
    };
    Ok(Action::Get {
        request,
        expect: expect?,
    })
}

/// What the cluster tells of itself, as `get` shows it.
fn events(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let namespace = fields.or("namespace", setting.namespace, Cursor::name);
    let output = fields.or("output", Output::Table, Cursor::parsed);
    fields.finish()?;
    let (namespace, output) = (namespace?, output?);
    let scope = Scope::Namespace(namespace.to_owned());
    let resources = resources("events", &scope, namespace, None);
    let expect = expect(step, Repeat::Looks, check::get);
    Ok(Action::Events {
        request: Get::new(resources.map_err(|why| at.refuse(why))?, scope, output),
        expect: expect?,
    })
}

/// Reads `svc`, `svc,pods`, `svc web api`, or references such as `svc/web`.
fn resources(
    text: &str,
    scope: &Scope,
    namespace: &str,
    selector: Option<&Selector>,
) -> Result<Resources, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if selector.is_none() && words.iter().all(|word| word.contains('/')) {
        let keys = words.iter().map(|word| object_key(word, namespace));
        let keys: Result<_, _> = keys.collect();
        return keys
            .map(Resources::Named)
            .map_err(|error| error.to_string());
    }
    Resources::parse(&words, scope, selector).map_err(|error| error.to_string())
}

fn resolve(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let from = fields.need("from", |at| source(at, setting));
    let name = fields.need("name", |at| Ok((at.clone(), at.name()?)));
    let record_type = fields.or("type", "A", |at| {
        at.word(&ResolveRequest::TYPES.map(|name| (name, name)))
    });
    let protocol = fields.or("protocol", Protocol::UDP, |at| {
        at.word(&traffic::TRANSPORTS)
    });
    fields.finish()?;
    let expect = expect(step, Repeat::Looks, check::resolve);
    let record_type = record_type?;
    let (name_at, name) = name?;
    // The name of an address is asked for by the address.
    let is_address = record_type == "PTR" && name.parse::<IpAddr>().is_ok();
    let name = match is_address || is_query_name(name) {
        true => Ok(name.to_owned()),
        false => Err(no_host_name(&name_at, name)),
    };
    Ok(Action::Resolve {
        from: from?,
        name: name?,
        record_type: record_type.to_owned(),
        protocol: protocol?,
        expect: expect?,
    })
}

fn connect(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let from = fields.need("from", |at| source(at, setting));
    let count = fields.or("count", 1, |at| at.integer(1..=COUNT_MAX));
    let dial = traffic::dial(&mut fields);
    fields.finish()?;
    let expect = expect(step, Repeat::Looks, |fields| {
        check::connect(fields, setting.namespace)
    });
    let dial = Dial {
        count: u32::try_from(count?).expect("at most COUNT_MAX"),
        ..dial?
    };
    Ok(Action::Connect {
        from: from?,
        dial,
        expect: expect?,
    })
}

fn probe(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let node = fields.may("node", |at| node(at, setting));
    let mut bare = None;
    let from = fields.need("from", |at| {
        if !at.value().is_mapping() {
            return source(at, setting).map(ProbeFrom::Source);
        }
        let mut fields = at.fields()?;
        let ip = fields.need("ip", |at| Ok((at.clone(), at.address()?)));
        fields.finish()?;
        let (ip_at, ip) = ip?;
        bare = Some((ip_at, ip));
        Ok(ProbeFrom::Address(ip))
    });
    let to = fields.need("to", |at| Ok((at.clone(), at.parsed::<Target>()?)));
    let suits = match (&bare, &to) {
        (Some((at, ip)), Ok((to_at, to))) => match &to.host {
            Host::Address(address) if ip.is_ipv4() == address.is_ipv4() => Ok(()),
            Host::Address(_) => Err(at.refuse(format!(
                "a packet has addresses of one family, and {ip} is not of that of {to}"
            ))),
            Host::Name(_) => Err(to_at.refuse_with(
                "a bare address has no resolver to ask for a name",
                "give an address with a port, or a source such as pod/… or node/…",
            )),
        },
        _ => Ok(()),
    };
    let protocol = fields.or("protocol", Protocol::TCP, |at| at.word(&PROTOCOLS));
    if matches!((&from, &node), (Ok(ProbeFrom::Address(_)), Ok(None))) {
        return Err(at.refuse("`node` is missing: a bare address is seen by some node's rules"));
    }
    fields.finish()?;
    let expect = expect(step, Repeat::Looks, check::probe);
    suits?;
    let (node, from, (_, to), protocol) = (node?, from?, to?, protocol?);
    Ok(Action::Probe {
        node,
        from,
        to,
        protocol,
        expect: expect?,
    })
}

fn rules(step: &mut Fields<'_>, at: &Cursor<'_>, setting: &Setting<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    let node = fields.need("node", |at| node(at, setting));
    fields.finish()?;
    let expect = expect(step, Repeat::Looks, check::rules);
    Ok(Action::Rules {
        node: node?,
        expect: expect?,
    })
}

pub(super) fn node(at: &Cursor<'_>, setting: &Setting<'_>) -> Read<String> {
    match setting.cluster {
        Some(cluster) => nodes::known(at, cluster.nodes.iter()),
        None => at.name().map(str::to_owned),
    }
}

/// Reads who sends. Nodes and outside hosts never come or go, so a name that none has is wrong from the start.
pub(super) fn source(at: &Cursor<'_>, setting: &Setting<'_>) -> Read<SourceRef> {
    if at.value().is_mapping() {
        return Err(at.refuse_with(
            "a bare address has no sockets",
            "use `probe`, or name a Pod, a node or an outside host",
        ));
    }
    let source =
        SourceRef::parse(at.text()?, setting.namespace).map_err(|error| at.refuse(error))?;
    match (&source, setting.cluster) {
        (SourceRef::Node(name), Some(cluster)) => {
            nodes::check_known(at, name, cluster.nodes.iter())?;
        }
        (SourceRef::Outside(name), _) => check_outside(at, name, setting)?,
        _ => {}
    }
    Ok(source)
}

/// Notes that no outside host is called `name`, unless one is.
pub(super) fn check_outside(at: &Cursor<'_>, name: &str, setting: &Setting<'_>) -> Read<()> {
    let Some(cluster) = setting.cluster else {
        return Ok(());
    };
    let known = cluster.outside.iter().map(|host| host.name.as_str());
    match known.clone().any(|host| host == name) {
        true => Ok(()),
        false => Err(nodes::unknown(at, "outside host", name, known)),
    }
}

/// Takes what a host can be called: labels of up to 63 bytes, 253 in all, perhaps a final dot.
pub(super) fn host_name(at: &Cursor<'_>, name: &str) -> Read<String> {
    if is_host_name(name) {
        Ok(name.to_owned())
    } else {
        Err(no_host_name(at, name))
    }
}

fn no_host_name(at: &Cursor<'_>, name: &str) -> Noted {
    at.refuse(format!("{name:?} is no host name"))
}
