//! Texts that Go reads into types of their own: quantities and times.

use serde_json::Value;

const QUANTITY_FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const QUANTITY_NUMBER: &str = "unable to parse numeric part of quantity";
const QUANTITY_SUFFIX: &str = "unable to parse quantity's suffix";
const SUFFIXES: [&str; 16] = [
    "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
];

/// What `resource.Quantity` says of a value (S: `ParseQuantity`); a number is read as it is written.
pub(super) fn quantity_fault(value: &Value) -> Option<String> {
    let message = match value {
        Value::String(text) => quantity_text_fault(text.trim()),
        Value::Number(number) => quantity_text_fault(&number.to_string()),
        _ => Some(QUANTITY_FORMAT),
    };
    message.map(str::to_owned)
}

fn quantity_text_fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some(QUANTITY_FORMAT);
    }
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() {
        return Some(QUANTITY_NUMBER);
    }
    let whole = &unsigned[digits(unsigned)..];
    let suffix = match whole.strip_prefix('.') {
        Some(fraction) => &fraction[digits(fraction)..],
        None => whole,
    };
    let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let power = letters.strip_prefix(['+', '-']).unwrap_or(letters);
    if digits(power) < power.len() {
        return Some(QUANTITY_FORMAT);
    }
    let exponent = suffix.strip_prefix(['e', 'E']).map(str::parse::<i32>);
    let known = SUFFIXES.contains(&suffix) || matches!(exponent, Some(Ok(_)));
    (!known).then_some(QUANTITY_SUFFIX)
}

/// What Go's `time.Parse` says of a text that is no RFC 3339 time (S: Go `time/format.go`).
pub(super) fn time_fault(text: &str, layout: &str) -> Option<String> {
    let mut parser = TimeParser { rest: text };
    let refused = parser.refuse(layout.contains('.'))?;
    let reason = match refused {
        Refused::Expected(wanted) => {
            format!(
                " as {layout:?}: cannot parse {:?} as {wanted:?}",
                parser.rest
            )
        }
        Refused::Range(what) => format!(": {what} out of range"),
        Refused::Extra => format!(": extra text: {:?}", parser.rest),
    };
    Some(format!("parsing time {text:?}{reason}"))
}

enum Refused {
    /// What stands next in the layout.
    Expected(&'static str),
    /// A number that is too great.
    Range(&'static str),
    /// Something behind the time.
    Extra,
}

/// Stands where it failed.
struct TimeParser<'a> {
    rest: &'a str,
}

impl TimeParser<'_> {
    fn refuse(&mut self, micro: bool) -> Option<Refused> {
        self.time(micro).err()
    }

    fn time(&mut self, micro: bool) -> Result<(), Refused> {
        let year = self.number(4, "2006")?;
        self.literal("-")?;
        let month = self.within("01", 1..=12, "month")?;
        self.literal("-")?;
        let day = self.number(2, "02")?;
        self.literal("T")?;
        self.within("15", 0..=23, "hour")?;
        self.literal(":")?;
        self.within("04", 0..=59, "minute")?;
        self.literal(":")?;
        self.within("05", 0..=59, "second")?;
        self.fraction(micro)?;
        self.zone()?;
        if !self.rest.is_empty() {
            return Err(Refused::Extra);
        }
        if day < 1 || day > days(year, month) {
            return Err(Refused::Range("day"));
        }
        Ok(())
    }

    fn number(&mut self, length: usize, wanted: &'static str) -> Result<u32, Refused> {
        let number = self.rest.get(..length).filter(|number| {
            let mut digits = number.bytes();
            digits.all(|digit| digit.is_ascii_digit())
        });
        let number = number.ok_or(Refused::Expected(wanted))?;
        self.rest = &self.rest[length..];
        Ok(number
            .bytes()
            .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
    }

    fn within(
        &mut self,
        wanted: &'static str,
        range: std::ops::RangeInclusive<u32>,
        what: &'static str,
    ) -> Result<u32, Refused> {
        let number = self.number(2, wanted)?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(Refused::Range(what))
        }
    }

    fn literal(&mut self, wanted: &'static str) -> Result<(), Refused> {
        self.rest = self
            .rest
            .strip_prefix(wanted)
            .ok_or(Refused::Expected(wanted))?;
        Ok(())
    }

    /// Digits behind a point: six of them in a layout that shows them, else any number, or none.
    fn fraction(&mut self, micro: bool) -> Result<(), Refused> {
        let digits = self.rest.strip_prefix(['.', ',']).unwrap_or_default();
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        match (micro, count) {
            (true, 6) => self.rest = &digits[count..],
            (true, _) => return Err(Refused::Expected(".000000")),
            (false, 0) => {}
            (false, _) => self.rest = &digits[count..],
        }
        Ok(())
    }

    fn zone(&mut self) -> Result<(), Refused> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(());
        }
        let wanted = Refused::Expected("Z07:00");
        let mut ahead = TimeParser { rest: self.rest };
        let Some(rest) = ahead.rest.strip_prefix(['+', '-']) else {
            return Err(wanted);
        };
        ahead.rest = rest;
        let (Ok(hours), Ok(()), Ok(minutes)) = (
            ahead.number(2, "07"),
            ahead.literal(":"),
            ahead.number(2, "00"),
        ) else {
            return Err(wanted);
        };
        match (hours, minutes) {
            (25.., _) => Err(Refused::Range("time zone offset hour")),
            (_, 61..) => Err(Refused::Range("time zone offset minute")),
            _ => {
                self.rest = ahead.rest;
                Ok(())
            }
        }
    }
}

fn days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities() {
        for good in [
            "1", "100m", "1.5Gi", "-2k", "+.5", "1e3", "1E-2", "0", "1.", "  3 ",
        ] {
            assert_eq!(quantity_fault(&json!(good)), None, "{good}");
        }
        for (bad, expected) in [
            ("", QUANTITY_FORMAT),
            ("lots", QUANTITY_FORMAT),
            ("1 Gi", QUANTITY_FORMAT),
            ("1.2.3", QUANTITY_FORMAT),
            ("1GB", QUANTITY_FORMAT),
            ("1Kib", QUANTITY_FORMAT),
            ("1ki", QUANTITY_SUFFIX),
            ("1kk", QUANTITY_SUFFIX),
            ("1e", QUANTITY_SUFFIX),
            ("-", QUANTITY_NUMBER),
        ] {
            assert_eq!(
                quantity_fault(&json!(bad)).as_deref(),
                Some(expected),
                "{bad}"
            );
        }
        assert_eq!(quantity_fault(&json!(1.5)), None);
        assert_eq!(
            quantity_fault(&json!(true)).as_deref(),
            Some(QUANTITY_FORMAT)
        );
    }

    fn check_time(text: &str, expected: Option<&str>) {
        let found = time_fault(text, "2006-01-02T15:04:05Z07:00");
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn times() {
        check_time("2024-02-29T23:59:59Z", None);
        check_time("2024-02-29T23:59:59.123+02:00", None);
        check_time(
            "yesterday",
            Some(
                "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"yesterday\" as \"2006\"",
            ),
        );
        check_time(
            "2024-01-01",
            Some(
                "parsing time \"2024-01-01\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"T\"",
            ),
        );
        check_time(
            "2024-13-01T00:00:00Z",
            Some("parsing time \"2024-13-01T00:00:00Z\": month out of range"),
        );
        check_time(
            "2023-02-29T00:00:00Z",
            Some("parsing time \"2023-02-29T00:00:00Z\": day out of range"),
        );
        check_time(
            "2024-01-01T00:00:00Zulu",
            Some("parsing time \"2024-01-01T00:00:00Zulu\": extra text: \"ulu\""),
        );
        check_time(
            "2024-01-01T00:00:00",
            Some(
                "parsing time \"2024-01-01T00:00:00\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"Z07:00\"",
            ),
        );
        assert_eq!(
            time_fault(
                "2024-01-01T00:00:00.000001Z",
                "2006-01-02T15:04:05.000000Z07:00"
            ),
            None
        );
    }

    #[test]
    fn odd_texts_do_not_panic() {
        for odd in [
            "",
            "20é4-01-01T00:00:00Z",
            "2024-01-01T00:00:00+é",
            "\u{feff}",
            "2024-01-01T00:00:00.é",
        ] {
            assert!(
                time_fault(odd, "2006-01-02T15:04:05Z07:00").is_some(),
                "{odd}"
            );
        }
    }
}
