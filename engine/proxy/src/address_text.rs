//! Addresses as objects write them.
//!
//! **Why.** A cluster's endpoints are a hundred thousand texts, nearly all of IPv4: these are read by digits, which takes a
//! fifth of what the standard library's parser takes. It reads all others, and what is no address.

use std::net::{IpAddr, Ipv4Addr};

/// The address that a text stands for, as `IpAddr::from_str` has it.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    match dotted(text.as_bytes()) {
        Some(octets) => Some(Ipv4Addr::from(octets).into()),
        None => text.parse().ok(),
    }
}

/// Four numbers up to 255 with dots between them, without zeros before them.
fn dotted(text: &[u8]) -> Option<[u8; 4]> {
    let mut octets = [0; 4];
    let (mut place, mut digits, mut number) = (0, 0, 0_u16);
    for sign in text {
        match sign {
            b'0'..=b'9' if digits == 0 || number != 0 => {
                number = number * 10 + u16::from(sign - b'0');
                digits += 1;
                if number > 255 {
                    return None;
                }
            }
            b'.' if digits > 0 && place < 3 => {
                octets[place] = number as u8;
                (place, digits, number) = (place + 1, 0, 0);
            }
            _ => return None,
        }
    }
    if place < 3 || digits == 0 {
        return None;
    }
    octets[3] = number as u8;
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_the_standard_library_reads_them() {
        let pieces = [
            "", "0", "1", "9", "00", "01", "10", "99", "100", "199", "255", "256", "999", "1000",
            " 1", "a", "-1", "+1",
        ];
        let mut read = 0;
        for one in pieces {
            for other in pieces {
                for text in [
                    format!("{one}.{other}.7.8"),
                    format!("10.{one}.{other}.8"),
                    format!("10.1.{one}.{other}"),
                    format!("{one}.{other}.8"),
                    format!("1.2.3.{one}.{other}"),
                    format!("{one}{other}"),
                    format!("fd00::{one}:{other}"),
                    format!("::ffff:10.1.{one}.{other}"),
                ] {
                    let expected: Option<IpAddr> = text.parse().ok();
                    assert_eq!(address(&text), expected, "{text:?}");
                    read += usize::from(dotted(text.as_bytes()).is_some());
                }
            }
        }
        assert!(read > 100, "{read} were read by digits");
    }
}
