//! Amounts of a resource: `100m`, `1.5`, `32Gi`.
//!
//! **Source of the semantics.** S: `apimachinery/pkg/api/resource/quantity.go`: a sum is printed in the notation of its
//! first summand, with the largest unit that leaves a whole number.
//!
//! Deviation: what is written with an exponent (`1e3`) is printed with a unit (`1k`).

use serde_json::Value;

use crate::fields::plain;

const NANOS: i128 = 1_000_000_000;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// From 10^-9 in steps of 10^3.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// An amount, exact to the billionth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quantity {
    nanos: i128,
    is_binary: bool,
}

impl Quantity {
    /// Reads a quantity; 0 for what is none.
    pub(crate) fn of(value: Option<&Value>) -> Self {
        value
            .and_then(|value| parse(&plain(value)))
            .unwrap_or_default()
    }

    /// The sum, in the notation of the first that is not zero.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_add(other.nanos),
            is_binary: if self.nanos == 0 {
                other.is_binary
            } else {
                self.is_binary
            },
        }
    }

    /// The larger one.
    pub(crate) fn max(self, other: Self) -> Self {
        match other.nanos > self.nanos {
            true => other,
            false => self,
        }
    }

    /// How many hundredths of another it is, rounded down; 0 of nothing.
    pub(crate) fn percent_of(self, whole: Self) -> i128 {
        let hundredfold = self.nanos.saturating_mul(100);
        hundredfold.checked_div(whole.nanos).unwrap_or(0)
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = self.nanos / NANOS;
        if self.is_binary && whole.abs() >= 1024 && self.nanos % NANOS == 0 {
            let (mut amount, mut unit) = (whole, 0);
            while amount % 1024 == 0 && unit + 1 < BINARY.len() {
                amount /= 1024;
                unit += 1;
            }
            return write!(f, "{amount}{}", BINARY[unit]);
        }
        let (mut amount, mut unit) = (self.nanos, 0);
        if amount == 0 {
            return f.write_str("0");
        }
        while amount % 1000 == 0 && unit + 1 < DECIMAL.len() {
            amount /= 1000;
            unit += 1;
        }
        write!(f, "{amount}{}", DECIMAL[unit])
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let end = text
        .find(|char: char| !(char.is_ascii_digit() || "+-.".contains(char)))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let is_binary = suffix.ends_with('i');
    let factor: i128 =
        if let Some(unit) = BINARY.iter().position(|unit| *unit == suffix && is_binary) {
            NANOS << (10 * unit)
        } else if let Some(unit) = DECIMAL.iter().position(|unit| *unit == suffix) {
            10_i128.pow(u32::try_from(3 * unit).ok()?)
        } else {
            let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_i128.checked_pow(exponent)?.checked_mul(NANOS)?
        };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let nanos = scaled.checked_mul(factor)?.checked_div(divisor)?;
    Some(Quantity { nanos, is_binary })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sum(terms: &[&str]) -> String {
        let terms = terms.iter().map(|term| Quantity::of(Some(&json!(term))));
        terms.fold(Quantity::default(), Quantity::plus).to_string()
    }

    #[test]
    fn sums_keep_their_notation() {
        for (terms, expected) in [
            (&[][..], "0"),
            (&["100m", "400m"], "500m"),
            (&["500m", "0.5"], "1"),
            (&["1.5"], "1500m"),
            (&["32Gi"], "32Gi"),
            (&["1Gi", "512Mi"], "1536Mi"),
            (&["0.5Gi"], "512Mi"),
            (&["128974848"], "128974848"),
            (&["128M", "1Ki"], "128001024"),
            (&["100"], "100"),
            (&["1e3"], "1k"),
            (&["512Ki", "512Ki"], "1Mi"),
            (&["x"], "0"),
            (&["99999999999999999999999999999999999999999E"], "0"),
        ] {
            assert_eq!(sum(terms), expected, "{terms:?}");
        }
        assert_eq!(Quantity::of(Some(&json!(8))).to_string(), "8");
    }

    #[test]
    fn shares_are_rounded_down() {
        let of = |text: &str| Quantity::of(Some(&json!(text)));
        assert_eq!(of("1").percent_of(of("8")), 12);
        assert_eq!(of("1").percent_of(of("0")), 0);
    }
}
