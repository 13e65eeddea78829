//! An endpoint's address as text.
//!
//! kube-proxy names chains by it, sorts by it (PROXY-37, -41) and writes it into comments. A cluster has hundreds of
//! thousands of them, so the text is held inline and IPv4 is written without the formatting machinery.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;

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
        for unit in [10_000, 1000, 100, 10] {
            if number >= unit {
                self.push_digit(number / unit % 10);
            }
        }
        self.push_digit(number % 10);
    }

    fn push_digit(&mut self, digit: u16) {
        self.push(b'0' + u8::try_from(digit).expect("a digit"));
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
}
