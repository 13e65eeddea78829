//! Answers of the programs that one would run in a Pod.
//!
//! **Source of the semantics.** curl 8, S: `lib/connect.c`, `lib/strerror.c`, exit codes 6, 7, 28 and 56; BusyBox 1.36's
//! wget, S: `networking/wget.c`, `libbb/xconnect.c`; BIND 9.18's nslookup, S: `bin/dig/nslookup.c`.
//!
//! Deviation: curl and wget print what a simulated application answers, its Pod's name, and wait for 3 s unless they are
//! told otherwise, not for as long as the kernel tries. They speak no TLS.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use control::{
    Answer, ConnectRequest, Connection, Host, Outcome, Resolution, ResolveRequest, Source, Target,
    TargetError, World,
};
use ruleset::Protocol;

use super::command::WgetOrder;

/// Connects as `curl URL` does.
///
/// # Errors
/// When the URL is none, or whoever is to connect is not there.
pub(super) fn curl(
    world: &mut dyn World,
    from: Source,
    url: &str,
    max_seconds: u16,
) -> Result<String, String> {
    let to = target(url).map_err(|why| format!("curl: {why}"))?;
    let seen = get(world, from, &to, max_seconds)?;
    Ok(outcome(&seen, &to))
}

/// Connects as `wget -qO- URL` does.
///
/// # Errors
/// When the URL is none, a file is to be written, or whoever is to connect is not there.
pub(super) fn wget(
    world: &mut dyn World,
    from: Source,
    order: &WgetOrder,
) -> Result<String, String> {
    if order.output != "-" {
        return Err("supported here: wget -qO- URL, which writes no file".to_owned());
    }
    let to = target(&order.url).map_err(|why| format!("wget: {why}"))?;
    let seen = get(world, from, &to, order.seconds)?;
    let address = seen.remote.map(|remote| remote.to_string());
    let mut text = String::new();
    if let (false, Some(address)) = (order.quiet, &address) {
        let _ = writeln!(text, "Connecting to {} ({address})", host_of(&order.url));
    }
    let refused = |why: &str| {
        let remote = seen.remote.map(|remote| remote.ip().to_string());
        let remote = remote.unwrap_or_default();
        format!("wget: can't connect to remote host ({remote}): {why}")
    };
    text += &match seen.outcome {
        Outcome::Connected => peer(&seen).to_owned(),
        Outcome::Unresolved => format!("wget: bad address '{}'", host_of(&order.url)),
        Outcome::Refused => refused("Connection refused"),
        Outcome::Unreachable => refused("Host is unreachable"),
        Outcome::Timeout => "wget: download timed out".to_owned(),
        Outcome::Reset => "wget: error getting response: Connection reset by peer".to_owned(),
    };
    Ok(text)
}

fn get(
    world: &mut dyn World,
    from: Source,
    to: &Target,
    seconds: u16,
) -> Result<Connection, String> {
    let request = ConnectRequest {
        from,
        to: to.clone(),
        protocol: Protocol::TCP,
        count: 1,
        timeout: Duration::from_secs(seconds.max(1).into()),
        payload: b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    };
    let mut seen = world.connect(&request).map_err(|why| why.to_string())?;
    Ok(seen.remove(0))
}

/// Asks as `nslookup [-type=TYPE] NAME` does: for both families, unless told otherwise; for an address's names.
///
/// # Errors
/// When whoever is to ask is not there.
pub(super) fn nslookup(
    world: &mut dyn World,
    from: &Source,
    record_type: Option<&str>,
    name: &str,
) -> Result<String, String> {
    let is_address = name.parse::<IpAddr>().is_ok() && record_type.is_none_or(|kind| kind == "PTR");
    if !is_address && !control::is_query_name(name) {
        return Err(format!("nslookup: {name:?} is not a legal name"));
    }
    let record_types = match record_type {
        Some(record_type) => vec![record_type],
        None if is_address => vec!["PTR"],
        None => vec!["A", "AAAA"],
    };
    let mut lookups = Vec::new();
    for record_type in record_types {
        let request = ResolveRequest {
            from: from.clone(),
            name: name.to_owned(),
            record_types: vec![record_type.to_owned()],
            protocol: Protocol::UDP,
        };
        lookups.push(world.resolve(&request).map_err(|why| why.to_string())?);
    }
    Ok(answer(name, &lookups, is_address && record_type.is_none()))
}

/// What stands before the path of a URL.
fn host_of(url: &str) -> &str {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.split('/').next().unwrap_or_default()
}

/// Reads `http://web:8080/path`, `web` or `web:80`.
fn target(url: &str) -> Result<Target, String> {
    match url.split_once("://") {
        None | Some(("http", _)) => {}
        Some((scheme, _)) => {
            return Err(format!(
                "(1) Protocol \"{scheme}\" not supported: write http://…"
            ));
        }
    }
    let place = host_of(url);
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let place = match has_port {
        true => place.to_owned(),
        false => format!("{place}:80"),
    };
    let malformed = |_: TargetError| "(3) URL rejected: Malformed input".to_owned();
    place.parse().map_err(malformed)
}

fn outcome(one: &Connection, to: &Target) -> String {
    let (host, port) = match &to.host {
        Host::Name(name) => (name.clone(), to.port),
        Host::Address(address) => (address.to_string(), to.port),
    };
    let ms = (one.finished - one.started).as_millis();
    match one.outcome {
        Outcome::Connected => peer(one).to_owned(),
        Outcome::Unresolved => format!("curl: (6) Could not resolve host: {host}"),
        Outcome::Refused | Outcome::Unreachable => format!(
            "curl: (7) Failed to connect to {host} port {port} after {ms} ms: Couldn't connect to server"
        ),
        Outcome::Timeout => format!("curl: (28) Connection timed out after {ms} milliseconds"),
        Outcome::Reset => "curl: (56) Recv failure: Connection reset by peer".to_owned(),
    }
}

/// The name that a simulated application answers with.
fn peer(one: &Connection) -> &str {
    let name = one.backend.as_ref().map_or("", |peer| peer.name.as_str());
    name.rsplit('/').next().unwrap_or_default()
}

/// `is_bare`: without the server's address, as of an address's names.
fn answer(name: &str, lookups: &[Resolution], is_bare: bool) -> String {
    let asked = lookups.iter().flat_map(|lookup| &lookup.attempts);
    let Some(first) = asked.clone().next() else {
        return ";; connection timed out; no servers could be reached".to_owned();
    };
    if asked.clone().all(|attempt| attempt.result == "TIMEOUT") {
        return format!(
            ";; communications error to {}#{}: timed out\n;; no servers could be reached",
            first.server.ip(),
            first.server.port()
        );
    }
    let (ip, port) = (first.server.ip(), first.server.port());
    let mut text = match is_bare {
        true => String::new(),
        false => format!("Server:\t\t{ip}\nAddress:\t{ip}#{port}\n\n"),
    };
    let answers = lookups.iter().flat_map(|lookup| &lookup.answers);
    text.extend(answers.clone().map(record));
    if answers.count() == 0 {
        // Of the two lookups, the first says whether there is such a name.
        let _ = match lookups.first().map(|lookup| lookup.rcode.as_str()) {
            Some("NOERROR") => writeln!(text, "*** Can't find {name}: No answer"),
            Some(rcode) => writeln!(text, "** server can't find {name}: {rcode}"),
            None => Ok(()),
        };
    }
    text
}

/// A record as nslookup prints it.
fn record(record: &Answer) -> String {
    let (owner, data) = (record.name.trim_end_matches('.'), &record.data);
    let is = match record.record_type.as_str() {
        "A" | "AAAA" => return format!("Name:\t{owner}\nAddress: {data}\n"),
        "SOA" => return start_of_authority(owner, data),
        "CNAME" => "canonical name".to_owned(),
        "MX" => "mail exchanger".to_owned(),
        "NS" => "nameserver".to_owned(),
        "PTR" => "name".to_owned(),
        "SRV" => "service".to_owned(),
        "TXT" => "text".to_owned(),
        other => format!("rdata_{other}"),
    };
    format!("{owner}\t{is} = {data}\n")
}

fn start_of_authority(owner: &str, data: &str) -> String {
    const FIELDS: [&str; 7] = [
        "origin",
        "mail addr",
        "serial",
        "refresh",
        "retry",
        "expire",
        "minimum",
    ];
    let fields = FIELDS.iter().zip(data.split_whitespace());
    let lines = fields.map(|(field, value)| {
        let value = value.strip_suffix('.').unwrap_or(value);
        format!("\t{field} = {value}\n")
    });
    format!("{owner}\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::target;

    fn check(url: &str, expected: Result<&str, &str>) {
        let seen = target(url).map(|target| target.to_string());
        assert_eq!(seen.as_deref().map_err(String::as_str), expected, "{url}");
    }

    #[test]
    fn urls() {
        check("web", Ok("web:80"));
        check("web:8080", Ok("web:8080"));
        check("http://web.shop/path?a=b", Ok("web.shop:80"));
        check("http://[fd00::1]:8080/", Ok("[fd00::1]:8080"));
        check("[fd00::1]", Ok("[fd00::1]:80"));
        check("10.96.0.1", Ok("10.96.0.1:80"));
        check(
            "https://web",
            Err("(1) Protocol \"https\" not supported: write http://…"),
        );
        check("http://", Err("(3) URL rejected: Malformed input"));
        check("a b", Err("(3) URL rejected: Malformed input"));
    }
}
