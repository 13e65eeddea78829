//! A number of Pods, or a percentage of them.
//!
//! **Source of the semantics.** S: `apimachinery/pkg/util/intstr/intstr.go` (GetScaledValueFromIntOrPercent).

use api::IntOrString;

/// Which way a part of a Pod is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    Up,
    Down,
}

/// How many of `total` an amount stands for; 0 for a text that is no percentage, and for less than nothing.
pub(crate) fn scaled(amount: &IntOrString, total: usize, rounding: Rounding) -> usize {
    match amount {
        IntOrString::Int(number) => usize::try_from(*number).unwrap_or(0),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|text| text.parse().ok());
            let parts = total.saturating_mul(percent.unwrap_or(0));
            match rounding {
                Rounding::Up => parts.div_ceil(100),
                Rounding::Down => parts / 100,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_as_asked() {
        let text = |text: &str| IntOrString::String(text.to_owned());
        for (amount, up, down) in [
            (IntOrString::Int(3), 3, 3),
            (IntOrString::Int(-3), 0, 0),
            (text("25%"), 3, 2),
            (text("100%"), 10, 10),
            (text("0%"), 0, 0),
            (text("much"), 0, 0),
            (text("-5%"), 0, 0),
        ] {
            assert_eq!(scaled(&amount, 10, Rounding::Up), up, "{amount}");
            assert_eq!(scaled(&amount, 10, Rounding::Down), down, "{amount}");
        }
    }
}
