//! Answers of the programs that one would run in a Pod.
//!
//! **Source of the semantics.** curl 8, S: `lib/connect.c`, `lib/strerror.c`, exit codes 6, 7, 28 and 56; BIND 9.18's
//! nslookup, S: `bin/dig/nslookup.c`.
//!
//! Deviation: curl prints what a simulated application answers, its Pod's name, and waits for 3 s unless `--max-time`
//! says otherwise, not for as long as the kernel tries. It speaks no TLS.

use std::fmt::Write as _;
use std::time::Duration;

use control::{
    ConnectRequest, Connection, Host, Outcome, Resolution, ResolveRequest, Source, Target,
    TargetError, World,
};
use ruleset::Protocol;

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
    let to = target(url)?;
    let request = ConnectRequest {
        from,
        to: to.clone(),
        protocol: Protocol::TCP,
        count: 1,
        timeout: Duration::from_secs(max_seconds.max(1).into()),
        payload: b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    };
    let seen = world.connect(&request).map_err(|why| why.to_string())?;
    Ok(seen.iter().map(|one| outcome(one, &to)).collect())
}

/// Asks as `nslookup NAME` does: for both families.
///
/// # Errors
/// When whoever is to ask is not there.
pub(super) fn nslookup(world: &mut dyn World, from: &Source, name: &str) -> Result<String, String> {
    if !control::is_host_name(name) {
        return Err(format!("nslookup: {name:?} is not a legal name"));
    }
    let mut lookups = Vec::new();
    for record_type in ["A", "AAAA"] {
        let request = ResolveRequest {
            from: from.clone(),
            name: name.to_owned(),
            record_types: vec![record_type.to_owned()],
            protocol: Protocol::UDP,
        };
        lookups.push(world.resolve(&request).map_err(|why| why.to_string())?);
    }
    Ok(answer(name, &lookups))
}

/// Reads `http://web:8080/path`, `web` or `web:80`.
fn target(url: &str) -> Result<Target, String> {
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => {
            return Err(format!(
                "curl: (1) Protocol \"{scheme}\" not supported: write http://…"
            ));
        }
        None => url,
    };
    let place = rest.split('/').next().unwrap_or_default();
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let place = match has_port {
        true => place.to_owned(),
        false => format!("{place}:80"),
    };
    let malformed = |_: TargetError| "curl: (3) URL rejected: Malformed input".to_owned();
    place.parse().map_err(malformed)
}

fn outcome(one: &Connection, to: &Target) -> String {
    let (host, port) = match &to.host {
        Host::Name(name) => (name.clone(), to.port),
        Host::Address(address) => (address.to_string(), to.port),
    };
    let ms = (one.finished - one.started).as_millis();
    match one.outcome {
        Outcome::Connected => {
            let name = one.backend.as_ref().map_or("", |peer| peer.name.as_str());
            name.rsplit('/').next().unwrap_or_default().to_owned()
        }
        Outcome::Unresolved => format!("curl: (6) Could not resolve host: {host}"),
        Outcome::Refused | Outcome::Unreachable => format!(
            "curl: (7) Failed to connect to {host} port {port} after {ms} ms: Couldn't connect to server"
        ),
        Outcome::Timeout => format!("curl: (28) Connection timed out after {ms} milliseconds"),
        Outcome::Reset => "curl: (56) Recv failure: Connection reset by peer".to_owned(),
    }
}

fn answer(name: &str, lookups: &[Resolution]) -> String {
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
    let server = first.server;
    let mut text = format!(
        "Server:\t\t{ip}\nAddress:\t{ip}#{port}\n\n",
        ip = server.ip(),
        port = server.port()
    );
    let answers = lookups.iter().flat_map(|lookup| &lookup.answers);
    for record in answers.clone() {
        let owner = record.name.trim_end_matches('.');
        let _ = match record.record_type.as_str() {
            "CNAME" => writeln!(text, "{owner}\tcanonical name = {}", record.data),
            _ => writeln!(text, "Name:\t{owner}\nAddress: {}", record.data),
        };
    }
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
            Err("curl: (1) Protocol \"https\" not supported: write http://…"),
        );
        check("http://", Err("curl: (3) URL rejected: Malformed input"));
        check("a b", Err("curl: (3) URL rejected: Malformed input"));
    }
}
