//! `ping`, as one would run it in a Pod.
//!
//! **Source of the semantics.** iputils 20240905: `ping/ping.c`, `ping/ping_common.c`, `ping/ping6_common.c`.
//!
//! Deviation: as with `-n`, the names of addresses that answer are not looked up; and it stops after three requests
//! unless `-c` says otherwise.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use control::{Resolution, ResolveRequest, Source, World as _, is_host_name};
use plane::EchoError;
use ruleset::Protocol;
use sim::{Echo, EchoEnd, Sim};

use super::command::PingOrder;

/// Bytes beside the headers, and with them.
const PAYLOAD: usize = 56;
const MESSAGE: usize = PAYLOAD + 8;

/// Sends echo requests as `ping TARGET` does.
///
/// # Errors
/// When the name has no address, or whoever is to send is not there.
pub(super) fn ping(sim: &mut Sim, from: &Source, order: &PingOrder) -> Result<String, String> {
    let PingOrder {
        count,
        wait,
        target,
    } = order;
    let (name, address) = match target.parse() {
        Ok(address) => (target.clone(), address),
        Err(_) => look_up(sim, from, target)?,
    };
    let patience = Duration::from_secs((*wait).into());
    let echoes = sim
        .ping(from, address, *count, patience)
        .map_err(|why| why.to_string())?;
    if let [
        Echo {
            end: EchoEnd::Unsent(why),
            ..
        },
        ..,
    ] = &echoes[..]
    {
        return Err(format!("ping: connect: {}", first_upper(&why.to_string())));
    }
    let mut text = match address {
        IpAddr::V4(_) => format!(
            "PING {name} ({address}) {PAYLOAD}({}) bytes of data.\n",
            MESSAGE + 20
        ),
        IpAddr::V6(_) => format!("PING {name} ({address}) {PAYLOAD} data bytes\n"),
    };
    for (number, echo) in echoes.iter().enumerate() {
        text.push_str(&line(number + 1, echo));
    }
    text.push_str(&summary(&name, &echoes));
    Ok(text)
}

/// The address to send to, with the name that it was found under.
fn look_up(sim: &mut Sim, from: &Source, name: &str) -> Result<(String, IpAddr), String> {
    let said = |why: &str| format!("ping: {name}: {why}");
    if !is_host_name(name) {
        return Err(said("Name or service not known"));
    }
    let request = ResolveRequest {
        from: from.clone(),
        name: name.to_owned(),
        record_types: ["A", "AAAA"].map(str::to_owned).to_vec(),
        protocol: Protocol::UDP,
    };
    let found = sim.resolve(&request).map_err(|why| why.to_string())?;
    address(&found).ok_or_else(|| {
        said(match found.rcode.as_str() {
            "NXDOMAIN" => "Name or service not known",
            "NOERROR" => "No address associated with hostname",
            _ => "Temporary failure in name resolution",
        })
    })
}

/// IPv4 before IPv6, as whoever dials has it here.
fn address(found: &Resolution) -> Option<(String, IpAddr)> {
    let addresses = found.answers.iter().filter_map(|answer| {
        let address: IpAddr = answer.data.parse().ok()?;
        Some((answer.name.trim_end_matches('.').to_owned(), address))
    });
    addresses.min_by_key(|(_, address)| address.is_ipv6())
}

fn line(number: usize, echo: &Echo) -> String {
    match echo.end {
        EchoEnd::Answered { at, from, ttl } => {
            let took = time(at.since(echo.sent));
            format!("{MESSAGE} bytes from {from}: icmp_seq={number} ttl={ttl} time={took} ms\n")
        }
        EchoEnd::Failed { from, error } => {
            format!("From {from} icmp_seq={number} {}\n", complaint(from, error))
        }
        EchoEnd::Silence => String::new(),
        EchoEnd::Unsent(why) => format!("ping: sendmsg: {}\n", first_upper(&why.to_string())),
    }
}

/// As `pr_icmph` has it for each version.
const fn complaint(from: IpAddr, error: EchoError) -> &'static str {
    match (from, error) {
        (IpAddr::V4(_), EchoError::TtlExceeded) => "Time to live exceeded",
        (IpAddr::V4(_), EchoError::Unreachable) => "Destination Host Unreachable",
        (IpAddr::V4(_), EchoError::PortUnreachable) => "Destination Port Unreachable",
        (IpAddr::V4(_), EchoError::Prohibited) => "Packet filtered",
        (IpAddr::V4(_), EchoError::TooBig) => "Frag needed and DF set",
        (IpAddr::V6(_), EchoError::TtlExceeded) => "Time exceeded: Hop limit",
        (IpAddr::V6(_), EchoError::Unreachable) => "Destination unreachable: No route",
        (IpAddr::V6(_), EchoError::PortUnreachable) => "Destination unreachable: Port unreachable",
        (IpAddr::V6(_), EchoError::Prohibited) => {
            "Destination unreachable: Administratively prohibited"
        }
        (IpAddr::V6(_), EchoError::TooBig) => "Packet too big",
    }
}

/// Milliseconds with as many digits as ping prints.
fn time(took: Duration) -> String {
    let us = took.as_micros();
    let (whole, rest) = (us / 1000, us % 1000);
    match us {
        100_000.. => whole.to_string(),
        10_000.. => format!("{whole}.{}", rest / 100),
        1_000.. => format!("{whole}.{:02}", rest / 10),
        _ => format!("{whole}.{rest:03}"),
    }
}

fn summary(name: &str, echoes: &[Echo]) -> String {
    let times: Vec<Duration> = echoes
        .iter()
        .filter_map(|echo| match echo.end {
            EchoEnd::Answered { at, .. } => Some(at.since(echo.sent)),
            _ => None,
        })
        .collect();
    let is_error = |echo: &&Echo| matches!(echo.end, EchoEnd::Failed { .. });
    let errors = echoes.iter().filter(is_error).count();
    let mut text = format!(
        "\n--- {name} ping statistics ---\n{} packets transmitted, {} received",
        echoes.len(),
        times.len()
    );
    if errors > 0 {
        let _ = write!(text, ", +{errors} errors");
    }
    let lost = (echoes.len() - times.len()) * 100 / echoes.len().max(1);
    // From the first request to the last thing that happened.
    let ends = echoes.iter().map(|echo| match echo.end {
        EchoEnd::Answered { at, .. } => at,
        _ => echo.sent,
    });
    let first = echoes.first().map(|echo| echo.sent);
    let span = first.zip(ends.max());
    let span = span.map_or(0, |(first, last)| last.since(first).as_millis());
    let _ = writeln!(text, ", {lost}% packet loss, time {span}ms");
    if let Some(spread) = spread(&times) {
        let _ = writeln!(text, "rtt min/avg/max/mdev = {spread} ms");
    }
    text
}

/// Least, mean, greatest, and the standard deviation.
fn spread(times: &[Duration]) -> Option<String> {
    let us: Vec<u128> = times.iter().map(Duration::as_micros).collect();
    let (least, most) = (us.iter().min()?, us.iter().max()?);
    let count = us.len() as u128;
    let mean = us.iter().sum::<u128>() / count;
    let squares = us.iter().map(|one| one * one).sum::<u128>() / count;
    let deviation = squares.saturating_sub(mean * mean).isqrt();
    let parts = [*least, mean, *most, deviation];
    let parts = parts.map(|us| format!("{}.{:03}", us / 1000, us % 1000));
    Some(parts.join("/"))
}

fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_as_many_digits_as_pings() {
        let check = |us, text: &str| assert_eq!(time(Duration::from_micros(us)), text);
        check(42, "0.042");
        check(1234, "1.23");
        check(12_345, "12.3");
        check(123_456, "123");
    }

    #[test]
    fn a_spread() {
        let times = [1, 2, 3].map(Duration::from_millis);
        assert_eq!(spread(&times).as_deref(), Some("1.000/2.000/3.000/0.816"));
        assert_eq!(spread(&[]), None);
    }
}
