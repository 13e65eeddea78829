//! An endpoint's address as text.
//!
//! kube-proxy names chains by it, sorts by it (PROXY-37, -41) and writes it into comments. A cluster has hundreds of
//! thousands of them, so the text is held inline and IPv4 is written without the formatting machinery.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::net::{SocketAddr, SocketAddrV4};

/// `10.244.1.5:8080`, `[fd00::5]:8080`; ordered as text.
#[derive(Clone, Copy)]
pub(crate) struct SocketText {
    length: usize,
    bytes: [u8; Self::MAX],
}

impl SocketText {
    /// The longest address has 47 characters with its brackets, a port has six with its colon; a scope is not kept.
    const MAX: usize = 56;

    pub(crate) fn of(address: SocketAddr) -> Self {
        let mut text = Self {
            length: 0,
            bytes: [0; Self::MAX],
        };
        let written = match address {
            SocketAddr::V4(address) => {
                let [a, b, c, d] = address.ip().octets();
                text.push_number(a.into());
                for octet in [b, c, d] {
                    text.push(b'.');
                    text.push_number(octet.into());
                }
                text.push(b':');
                text.push_number(address.port());
                Ok(())
            }
            SocketAddr::V6(address) => write!(text, "[{}]:{}", address.ip(), address.port()),
        };
        written.expect("the longest text fits");
        text
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("it was written as text")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn push_number(&mut self, number: u16) {
        for digit in &digits(number)[5 - digit_count(number)..] {
            self.push(b'0' + *digit);
        }
    }
}

/// Sorts things by the texts of their addresses; those of one address stay in their order.
pub(crate) fn sort_as_text<T>(things: &mut [T], address: impl Fn(&T) -> SocketAddr) {
    let v4 = |thing: &T| match address(thing) {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    };
    match things.iter().all(|thing| v4(thing).is_some()) {
        true => things.sort_by(|one, other| match (v4(one), v4(other)) {
            (Some(one), Some(other)) => compare(one, other),
            _ => unreachable!("all are of IPv4"),
        }),
        false => things.sort_by_cached_key(|thing| SocketText::of(address(thing))),
    }
}

/// Compares the texts of two addresses without writing them.
fn compare(one: SocketAddrV4, other: SocketAddrV4) -> Ordering {
    const BEFORE_DOT: [u16; 256] = octet_ranks(Behind::BelowDigits);
    const BEFORE_COLON: [u16; 256] = octet_ranks(Behind::AboveDigits);
    let (octets, others) = (one.ip().octets(), other.ip().octets());
    match (0..4).find(|place| octets[*place] != others[*place]) {
        None if one.port() == other.port() => Ordering::Equal,
        None => {
            let rank = |port| number_rank::<5>(port, Behind::BelowDigits);
            rank(one.port()).cmp(&rank(other.port()))
        }
        Some(place) => {
            let ranks = if place < 3 {
                &BEFORE_DOT
            } else {
                &BEFORE_COLON
            };
            let rank = |octets: [u8; 4]| ranks[usize::from(octets[place])];
            rank(octets).cmp(&rank(others))
        }
    }
}

/// What stands behind a number in a text.
#[derive(Clone, Copy)]
enum Behind {
    /// A dot, or nothing.
    BelowDigits,
    /// A colon.
    AboveDigits,
}

const fn octet_ranks(behind: Behind) -> [u16; 256] {
    let mut ranks = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        ranks[octet] = number_rank::<3>(octet as u16, behind) as u16;
        octet += 1;
    }
    ranks
}

/// A number below 12 to the power of `WIDTH` that sorts as the text of one of so many digits at most does, with that behind it.
const fn number_rank<const WIDTH: usize>(number: u16, behind: Behind) -> u32 {
    let (digits, count) = (digits(number), digit_count(number));
    let behind = match behind {
        Behind::BelowDigits => 0,
        Behind::AboveDigits => 11,
    };
    let (mut rank, mut place) = (0, 0);
    while place < WIDTH {
        let sign = match place < count {
            true => digits[5 - count + place] as u32 + 1,
            false => behind,
        };
        rank = rank * 12 + sign;
        place += 1;
    }
    rank
}

/// The digits of a number, with zeros before it.
const fn digits(number: u16) -> [u8; 5] {
    let mut digits = [0; 5];
    let (mut place, mut rest) = (5, number);
    while place > 0 {
        place -= 1;
        digits[place] = (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

const fn digit_count(number: u16) -> usize {
    match number {
        0..10 => 1,
        10..100 => 2,
        100..1000 => 3,
        1000..10_000 => 4,
        10_000.. => 5,
    }
}

impl PartialEq for SocketText {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for SocketText {}

impl PartialOrd for SocketText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SocketText {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Write for SocketText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl fmt::Display for SocketText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_the_address() {
        for text in [
            "0.0.0.0:0",
            "10.244.1.5:8080",
            "255.255.255.255:65535",
            "[::]:1",
            "[fd00:10:244:1::1f]:443",
            "[1111:2222:3333:4444:5555:6666:7777:8888]:65535",
            "[::ffff:192.168.100.200]:65535",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketText::of(address).as_str(), text);
        }
    }

    #[test]
    fn octets_are_compared_as_their_texts_are() {
        let octets = || 0..=u8::MAX;
        let text = |octet: u8, behind: char| format!("{octet}{behind}");
        let first =
            octets().map(|one| (SocketAddrV4::new([one, 1, 1, 1].into(), 80), text(one, '.')));
        let last =
            octets().map(|one| (SocketAddrV4::new([1, 1, 1, one].into(), 80), text(one, ':')));
        for all in [first.collect::<Vec<_>>(), last.collect()] {
            for (one, text) in &all {
                for (other, other_text) in &all {
                    assert_eq!(
                        compare(*one, *other),
                        text.cmp(other_text),
                        "{one}, {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn those_of_one_address_stay_in_their_order() {
        let addresses =
            ["10.0.0.2:80", "10.0.0.10:80", "[::2]:80"].map(|text| text.parse().unwrap());
        for kinds in [2, 3] {
            let numbered = (0..60).map(|number: usize| (addresses[number % kinds], number));
            let mut things: Vec<(SocketAddr, usize)> = numbered.collect();
            sort_as_text(&mut things, |(address, _)| *address);
            let in_order =
                |pair: &[(SocketAddr, usize)]| pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1;
            assert!(things.windows(2).all(in_order), "{things:?}");
        }
    }

    #[test]
    fn addresses_are_sorted_as_their_texts_are() {
        let octets = [0, 1, 2, 9, 10, 11, 19, 99, 100, 101, 109, 110, 199, 255];
        let ports = [0, 1, 8, 80, 800, 8000, 8080, 9, 10_000, 65_535];
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for octet in octets {
            let of = |place: usize| {
                let mut octets = [10, 100, 1, 19];
                octets[place] = octet;
                octets
            };
            let places = (0..4).map(of).chain([[octet; 4]]);
            let sockets = places.flat_map(|ip| ports.map(|port| SocketAddr::from((ip, port))));
            addresses.extend(sockets);
        }
        let mut texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        sort_as_text(&mut addresses, |address| *address);
        let sorted: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, texts);
        let mut addresses: Vec<SocketAddr> = ["[::2]:1", "[::10]:1", "[::1]:1"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        sort_as_text(&mut addresses, |address| *address);
        let sorted: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, ["[::10]:1", "[::1]:1", "[::2]:1"]);
    }
}
