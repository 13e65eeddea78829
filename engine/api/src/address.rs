//! The text of an address.
//!
//! **Why.** Endpoints of a large cluster have as many addresses, nearly all of IPv4, and whoever starts reads them all; the
//! standard library's parser takes three times as long, for it has all notations to tell apart.

use std::net::{IpAddr, Ipv4Addr};

/// Reads an address, as the standard library does.
#[must_use]
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let dotted = parse_dotted(text.as_bytes()).map(IpAddr::V4);
    dotted.or_else(|| text.parse().ok())
}

/// Four decimal numbers without leading zeros.
fn parse_dotted(text: &[u8]) -> Option<Ipv4Addr> {
    /// The least number of so many digits.
    const LEAST: [u64; 4] = [256, 0, 10, 100];
    /// Nothing overflows that is not longer.
    const LONGEST: usize = "255.255.255.255".len();
    if text.len() > LONGEST {
        return None;
    }
    let mut octets = [0; 4];
    let (mut place, mut number, mut digits) = (0, 0, 0);
    for byte in text.iter().chain(b".") {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            number = number * 10 + u64::from(digit);
            digits += 1;
            continue;
        }
        if *byte != b'.' || number < *LEAST.get(digits)? {
            return None;
        }
        *octets.get_mut(place)? = u8::try_from(number).ok()?;
        place += 1;
        (number, digits) = (0, 0);
    }
    (place == octets.len()).then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> Result<(), TestCaseError> {
        let expected: Option<IpAddr> = text.parse().ok();
        prop_assert_eq!(parse_address(text), expected, "{:?}", text);
        // The standard library tells addresses of IPv4 from others in the end; so does the short way, at once.
        let expected: Option<Ipv4Addr> = text.parse().ok();
        prop_assert_eq!(parse_dotted(text.as_bytes()), expected, "{:?}", text);
        Ok(())
    }

    proptest! {
        #[test]
        fn what_is_nearly_an_address(text in "[0-9]{0,4}(\\.[0-9]{0,4}){2,5}|[0-9.]{0,17}") {
            check(&text)?;
        }

        #[test]
        fn addresses_with_something_in_them(
            octets: [u8; 4],
            place in 0..20_usize,
            more in "|[0-9]|\\.|[ +-]|.",
        ) {
            let mut text = Ipv4Addr::from(octets).to_string();
            check(&text)?;
            text.insert_str(place.min(text.len()), &more);
            check(&text)?;
        }

        #[test]
        fn addresses_of_ipv6(segments: [u16; 8], short in "[0-9a-f:.]{0,20}") {
            check(&std::net::Ipv6Addr::from(segments).to_string())?;
            check(&short)?;
        }
    }

    #[test]
    fn numbers_that_are_too_large_or_padded_are_refused() {
        for text in [
            "1.2.3.256",
            "1.2.3.04",
            "1.2.3.00",
            "1.2.3",
            "1.2.3.4.5",
            "1..2.3",
            ".1.2.3",
            "1.2.3.",
            "",
        ] {
            assert_eq!(parse_address(text), None, "{text}");
        }
        assert_eq!(parse_address("0.10.255.1"), Some([0, 10, 255, 1].into()));
    }
}
