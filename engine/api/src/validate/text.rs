//! The syntax of names, labels, ports and addresses, with Kubernetes' messages.
//!
//! Every check returns the complaints; none means the text is good.
//! **Source of the semantics.** API-14 … API-25; S: `apimachinery/pkg/util/validation/{validation,ip}.go`.

use std::net::IpAddr;

use ipnet::IpNet;

/// The messages of one check.
pub(crate) type Complaints = Vec<String>;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

const SUBDOMAIN_WITH_UNDERSCORE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const HTTP_HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/// RFC 1123 label of at most 63 characters (API-15).
pub(crate) fn label(text: &str) -> Complaints {
    let mut complaints = too_long(text, 63, "characters");
    if !is_label(text) {
        let dotted = is_subdomain(text);
        complaints.push(
            if dotted {
                "must not contain dots"
            } else {
                LABEL
            }
            .to_owned(),
        );
    }
    complaints
}

/// RFC 1123 subdomain of at most 253 characters (API-17).
pub(crate) fn subdomain(text: &str) -> Complaints {
    let mut complaints = too_long(text, 253, "characters");
    if !is_subdomain(text) {
        complaints.push(SUBDOMAIN.to_owned());
    }
    complaints
}

/// Like [`subdomain`], for search domains, whose labels may begin with an underscore.
pub(crate) fn subdomain_with_underscore(text: &str) -> Complaints {
    let mut complaints = too_long(text, 253, "characters");
    let is_part = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        let edge =
            |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        edge(part.bytes().next()) && edge(part.bytes().last()) && part.bytes().all(inner)
    };
    if !text.split('.').all(is_part) {
        complaints.push(SUBDOMAIN_WITH_UNDERSCORE.to_owned());
    }
    complaints
}

/// What a name in a path of the API must not be, whatever its kind (S: `validation/path/name.go`).
pub(crate) fn path_segment(text: &str) -> Complaints {
    if matches!(text, "." | "..") {
        return vec![format!("may not be '{text}'")];
    }
    let bad = ["/", "%"].into_iter().filter(|bad| text.contains(*bad));
    bad.map(|bad| format!("may not contain '{bad}'")).collect()
}

/// The name of an HTTP header.
pub(crate) fn http_header(text: &str) -> Complaints {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let good = !text.is_empty() && text.bytes().all(allowed);
    (!good)
        .then(|| HTTP_HEADER.to_owned())
        .into_iter()
        .collect()
}

/// A percentage.
pub(crate) fn percent(text: &str) -> Complaints {
    let digits = text.strip_suffix('%').unwrap_or_default();
    let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (!good).then(|| PERCENT.to_owned()).into_iter().collect()
}

/// The value of a label or selector (API-20).
pub(crate) fn label_value(text: &str) -> Complaints {
    let mut complaints = too_long(text, 63, "bytes");
    if !(text.is_empty() || is_name_part(text)) {
        complaints.push(LABEL_VALUE.to_owned());
    }
    complaints
}

/// The key of a label, selector or annotation (API-21).
pub(crate) fn qualified_name(text: &str) -> Complaints {
    let mut complaints = Complaints::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                complaints.push("prefix part must be non-empty".to_owned());
            } else {
                complaints.extend(
                    subdomain(prefix)
                        .iter()
                        .map(|text| format!("prefix part {text}")),
                );
            }
            name
        }
        _ => {
            let tail = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {QUALIFIED} {tail}")];
        }
    };
    if name.is_empty() {
        complaints.push("name part must be non-empty".to_owned());
    } else {
        complaints.extend(
            too_long(name, 63, "bytes")
                .iter()
                .map(|text| format!("name part {text}")),
        );
    }
    if !is_name_part(name) {
        complaints.push(format!("name part {QUALIFIED}"));
    }
    complaints
}

/// The name of a container port, as `targetPort` may be one (API-22).
pub(crate) fn port_name(text: &str) -> Complaints {
    let mut complaints = too_long(text, 15, "characters");
    let mut check = |holds: bool, message: &str| {
        if !holds {
            complaints.push(message.to_owned());
        }
    };
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    check(
        !text.is_empty() && text.bytes().all(allowed),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    check(
        text.bytes().any(|byte| byte.is_ascii_lowercase()),
        "must contain at least one letter (a-z)",
    );
    check(!text.contains("--"), "must not contain consecutive hyphens");
    let edge = text.is_empty() || text.starts_with('-') || text.ends_with('-');
    check(
        text.is_empty() || !edge,
        "must not begin or end with a hyphen",
    );
    complaints
}

/// A port number (API-23).
pub(crate) fn port_number(number: i32) -> Complaints {
    if (1..=65535).contains(&number) {
        Complaints::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}

/// An IP address (API-24).
pub(crate) fn address(text: &str) -> Result<IpAddr, Complaints> {
    let refuse = |message: &str| Err(vec![message.to_owned()]);
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            refuse("must not be an IPv4-mapped IPv6 address")
        }
        Ok(address) => Ok(address),
        Err(_) if has_leading_zeros(text) => refuse("must not have leading 0s"),
        Err(_) => refuse("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
    }
}

/// A range of addresses (API-24).
pub(crate) fn cidr(text: &str) -> Complaints {
    let complain = |message: &str| vec![message.to_owned()];
    let invalid = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let Some((ip, length)) = text.split_once('/') else {
        return complain(invalid);
    };
    let plain = if has_leading_zeros(ip) {
        without_leading_zeros(ip)
    } else {
        ip.to_owned()
    };
    let zeros = plain != ip || (length.len() > 1 && length.starts_with('0'));
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| digits);
    let range = plain.parse().ok().zip(length);
    let range = range.and_then(|(ip, length)| IpNet::new(ip, length).ok());
    match range {
        None => complain(invalid),
        Some(_) if zeros => complain("must not have leading 0s in IP or prefix length"),
        Some(IpNet::V6(range)) if range.addr().to_ipv4_mapped().is_some() => {
            complain("must not have an IPv4-mapped IPv6 address")
        }
        Some(range) if range.addr() != range.network() => {
            complain("must not have bits set beyond the prefix length")
        }
        Some(_) => Complaints::new(),
    }
}

/// Where no endpoint can be (API-25).
pub(crate) fn special_range(address: IpAddr) -> Option<&'static str> {
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (
            v6.is_unicast_link_local(),
            v6.segments()[0] & 0xff0f == 0xff02,
        ),
    };
    if address.is_unspecified() {
        Some(if address.is_ipv4() {
            "may not be unspecified (0.0.0.0)"
        } else {
            "may not be unspecified (::)"
        })
    } else if address.is_loopback() {
        Some("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    } else if link_local {
        Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    } else if link_local_multicast {
        Some("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    } else {
        None
    }
}

/// A decimal IPv4 text that at most leading zeros spoil.
pub(crate) fn has_leading_zeros(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &&str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits
            && part.trim_start_matches('0').len() <= 3
            && part.parse::<u16>().is_ok_and(|n| n < 256)
    };
    parts.len() == 4 && parts.iter().all(number)
}

fn without_leading_zeros(text: &str) -> String {
    let parts = text
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        });
    parts.collect::<Vec<_>>().join(".")
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_name_part(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    edge(text.bytes().next()) && edge(text.bytes().last()) && text.bytes().all(inner)
}

fn too_long(text: &str, max: usize, unit: &str) -> Complaints {
    let long = text.len() > max;
    long.then(|| format!("must be no more than {max} {unit}"))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_15_a_valid_subdomain_is_told_about_its_dots() {
        assert_eq!(label("a.b"), ["must not contain dots"]);
        assert_eq!(label("a_b"), [LABEL]);
        assert_eq!(
            label(&"a".repeat(64)),
            ["must be no more than 63 characters"]
        );
        assert!(label("123").is_empty());
        assert!(label("a--b").is_empty());
    }

    #[test]
    fn api_22_several_complaints_fire_together() {
        assert_eq!(port_name("-A--").len(), 4);
        assert!(port_name("http").is_empty());
        assert_eq!(
            port_name("8080"),
            ["must contain at least one letter (a-z)"]
        );
        assert_eq!(
            port_name("a-very-long-name"),
            ["must be no more than 15 characters"]
        );
    }

    #[test]
    fn api_24_addresses() {
        assert!(address("10.0.0.1").is_ok());
        assert!(address("fd00::1").is_ok());
        assert_eq!(
            address("10.096.0.1").unwrap_err(),
            ["must not have leading 0s"]
        );
        assert!(address("1.2.3").unwrap_err()[0].starts_with("must be a valid IP address"));
        assert!(address("").is_err());
        assert!(address("::ffff:1.2.3.4").unwrap_err()[0].contains("IPv4-mapped"));
    }

    fn check_cidr(text: &str, complaint: &str) {
        match cidr(text).as_slice() {
            [] => assert_eq!(complaint, "", "{text}"),
            found => assert!(
                found[0].contains(complaint) && !complaint.is_empty(),
                "{text}: {found:?}"
            ),
        }
    }

    /// The cases of Kubernetes' own test of strict validation (`validation/ip_test.go`).
    #[test]
    fn api_24_ranges() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "2001:DB8::/64",
            "10.9.8.7/32",
            "::/0",
        ] {
            check_cidr(text, "");
        }
        for text in [
            "",
            "a",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "::/129",
            "1.2.3/8",
        ] {
            check_cidr(text, "must be a valid CIDR value");
        }
        check_cidr("1.1.01.0/24", "must not have leading 0s in IP");
        check_cidr("192.168.0.0/016", "must not have leading 0s");
        check_cidr(
            "::ffff:1.1.1.0/120",
            "must not have an IPv4-mapped IPv6 address",
        );
        check_cidr(
            "1.2.3.4/24",
            "must not have bits set beyond the prefix length",
        );
        check_cidr(
            "2001:db8::1/64",
            "must not have bits set beyond the prefix length",
        );
    }

    #[test]
    fn api_21_prefixes() {
        assert!(qualified_name("example.com/MyName").is_empty());
        assert!(qualified_name("a/b/c")[0].starts_with("a valid label key must consist"));
        assert_eq!(qualified_name("/b"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name("a/").len(), 2);
    }
}
