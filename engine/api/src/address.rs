//! The text of an address.
//!
//! **Why.** A large cluster's endpoints have as many addresses, nearly all of IPv4, and whoever starts reads them all. The
//! standard library's parser takes nearly twice as many instructions for one.

use std::net::{IpAddr, Ipv4Addr};

/// Reads an address, as the standard library does.
#[must_use]
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let dotted = parse_dotted(text.as_bytes()).map(IpAddr::V4);
    dotted.or_else(|| text.parse().ok())
}

/// Four decimal numbers without leading zeros.
fn parse_dotted(text: &[u8]) -> Option<Ipv4Addr> {
    let (first, rest) = parse_octet(text)?;
    let (second, rest) = parse_octet(rest.strip_prefix(b".")?)?;
    let (third, rest) = parse_octet(rest.strip_prefix(b".")?)?;
    let (fourth, rest) = parse_octet(rest.strip_prefix(b".")?)?;
    rest.is_empty()
        .then(|| Ipv4Addr::new(first, second, third, fourth))
}

/// The number at the beginning, and what comes after it.
#[inline]
fn parse_octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let of = |digit: &u8| digit - b'0';
    match text {
        [
            hundreds @ b'1'..=b'9',
            tens @ b'0'..=b'9',
            ones @ b'0'..=b'9',
            rest @ ..,
        ] => {
            let number = u16::from(of(hundreds)) * 100 + u16::from(of(tens) * 10 + of(ones));
            Some((u8::try_from(number).ok()?, rest))
        }
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
            Some((of(tens) * 10 + of(ones), rest))
        }
        [ones @ b'0'..=b'9', rest @ ..] => Some((of(ones), rest)),
        _ => None,
    }
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
