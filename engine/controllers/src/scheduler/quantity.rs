//! Amounts of a resource: `100m`, `1.5`, `32Gi`, `1e3`.
//!
//! **Source of the semantics.** S: `apimachinery/pkg/api/resource/quantity.go`: what is finer than a billionth is
//! rounded up, and what is too large is as large as can be.

use serde_json::Value;

const NANOS: i128 = 1_000_000_000;
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// From 10^-9 in steps of 10^3.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// Reads a quantity, in billionths; `None` for what is none.
pub(super) fn nanos(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text.trim()),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let is_number = |char: char| char.is_ascii_digit() || "+-.".contains(char);
    let end = text.find(|char| !is_number(char)).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (factor, exponent) = unit(suffix)?;
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let scaled = mantissa.saturating_mul(factor);
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    Some(if exponent >= 0 {
        scaled.saturating_mul(power.unwrap_or(i128::MAX))
    } else {
        divided_up(scaled, power.unwrap_or(i128::MAX))
    })
}

/// A suffix as a factor and a power of ten, in billionths.
fn unit(suffix: &str) -> Option<(i128, i32)> {
    if let Some(place) = BINARY.iter().position(|unit| *unit == suffix) {
        return Some((NANOS << (10 * (place + 1)), 0));
    }
    if let Some(place) = DECIMAL.iter().position(|unit| *unit == suffix) {
        return Some((1, i32::try_from(3 * place).ok()?));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((1, exponent.checked_add(9)?))
}

fn divided_up(amount: i128, by: i128) -> i128 {
    amount.div_euclid(by) + i128::from(amount.rem_euclid(by) > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_read_exactly() {
        for (value, expected) in [
            (json!(2), Some(2 * NANOS)),
            (json!(1.5), Some(3 * NANOS / 2)),
            (json!("100m"), Some(NANOS / 10)),
            (json!("0.1"), Some(NANOS / 10)),
            (json!(".5"), Some(NANOS / 2)),
            (json!("1k"), Some(1000 * NANOS)),
            (json!("1e3"), Some(1000 * NANOS)),
            (json!("1E"), Some(NANOS * 10_i128.pow(18))),
            (json!("1E-9"), Some(1)),
            (json!("1Ki"), Some(1024 * NANOS)),
            (json!("0.5Ki"), Some(512 * NANOS)),
            (json!("1e-12"), Some(1)),
            (json!("1e40"), Some(i128::MAX)),
            (json!("-1"), Some(-NANOS)),
            (json!("1e"), None),
            (json!("1x"), None),
            (json!("1.2.3"), None),
            (json!(""), None),
            (json!([]), None),
        ] {
            assert_eq!(nanos(&value), expected, "{value}");
        }
    }
}
