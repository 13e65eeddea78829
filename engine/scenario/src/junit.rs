//! A run as JUnit XML, which continuous integration shows.
//!
//! **What.** A test suite per scenario and mode, a test case per step. Times are virtual.
//! **Why.** Every such system reads this format, and most nothing else.
//! **Source of the semantics.** There is no standard: the elements and attributes here are those that Jenkins, GitLab
//! and GitHub's readers have in common. XML 1.0, sections 2.2 (characters) and 2.4 (escapes).

use std::fmt::{self, Write as _};
use std::time::Duration;

use base::format_duration;

use crate::report::{Outcome, Report, ScenarioReport, StepReport};
use crate::words::flow;

/// The report as an XML document; equal reports give equal text.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all = || report.scenarios.iter().flat_map(|scenario| &scenario.steps);
    let time = report.scenarios.iter().map(|scenario| scenario.duration);
    line(
        &mut text,
        0,
        "testsuites",
        &counts(&all(), "switchboard", time.sum()),
        ">",
    );
    for scenario in &report.scenarios {
        suite(&mut text, scenario);
    }
    text.push_str("</testsuites>\n");
    text
}

/// An attribute of an element.
type Attribute = (&'static str, String);

fn counts<'a>(
    steps: &(impl Iterator<Item = &'a StepReport> + Clone),
    name: &str,
    time: Duration,
) -> Vec<Attribute> {
    let of = |outcome| steps.clone().filter(move |step| step.outcome == outcome);
    vec![
        ("name", name.to_owned()),
        ("tests", steps.clone().count().to_string()),
        ("failures", of(Outcome::Failed).count().to_string()),
        ("errors", "0".to_owned()),
        ("skipped", of(Outcome::Skipped).count().to_string()),
        ("time", seconds(time)),
    ]
}

fn suite(text: &mut String, scenario: &ScenarioReport) {
    let name = format!("{} ({})", scenario.name, scenario.mode);
    let attributes = counts(&scenario.steps.iter(), &name, scenario.duration);
    line(text, 1, "testsuite", &attributes, ">");
    text.push_str("    <properties>\n");
    let properties = [
        ("file", scenario.file.clone()),
        ("mode", scenario.mode.to_string()),
        ("plane", scenario.plane.to_owned()),
        ("seed", scenario.seed.value().to_string()),
    ];
    for (name, value) in properties {
        let attributes = [("name", name.to_owned()), ("value", value)];
        line(text, 3, "property", &attributes, "/>");
    }
    text.push_str("    </properties>\n");
    for step in &scenario.steps {
        case(text, scenario, step);
    }
    text.push_str("  </testsuite>\n");
}

fn case(text: &mut String, scenario: &ScenarioReport, step: &StepReport) {
    let what = match &step.name {
        Some(name) => name.clone(),
        None => format!("{} {}", step.verb, step.asked),
    };
    let attributes = [
        // Names are what readers compare two runs by: the number makes each of a scenario's steps one of its own.
        ("name", format!("{:03} {what}", step.index)),
        ("classname", format!("{}.{}", scenario.name, scenario.mode)),
        ("file", scenario.file.clone()),
        ("line", step.line.to_string()),
        ("time", seconds(step.end - step.start)),
    ];
    match step.outcome {
        Outcome::Passed => line(text, 2, "testcase", &attributes, "/>"),
        Outcome::Skipped => {
            line(text, 2, "testcase", &attributes, ">");
            let message = "not for this mode or plane".to_owned();
            line(text, 3, "skipped", &[("message", message)], "/>");
            text.push_str("    </testcase>\n");
        }
        Outcome::Failed => {
            line(text, 2, "testcase", &attributes, ">");
            let message = step.why.first().cloned().unwrap_or_default();
            let attributes = [("message", message), ("type", step.verb.to_owned())];
            line(text, 3, "failure", &attributes, ">");
            // The text of an element begins at its tag: no white space of ours gets into it.
            text.pop();
            let _ = write!(text, "{}", Escaped(&account(step), Place::Element));
            text.push_str("</failure>\n    </testcase>\n");
        }
    }
}

/// What a person reads about a failed step.
fn account(step: &StepReport) -> String {
    let mut text = format!("at {}: {} {}\n", step.start, step.verb, step.asked);
    if step.expected.as_object().is_some_and(|one| !one.is_empty()) {
        let _ = writeln!(text, "expected {}", flow(&step.expected));
    }
    for (label, lines) in [("seen", &step.seen), ("why", &step.why)] {
        for line in lines {
            let _ = writeln!(text, "{label} {line}");
        }
    }
    if step.end > step.start {
        let _ = writeln!(text, "took {}", format_duration(step.end - step.start));
    }
    text
}

/// Seconds with all digits that virtual time has.
fn seconds(span: Duration) -> String {
    format!("{}.{:09}", span.as_secs(), span.subsec_nanos())
}

fn line(text: &mut String, depth: usize, element: &str, attributes: &[Attribute], end: &str) {
    let _ = write!(text, "{:1$}<{element}", "", depth * 2);
    for (name, value) in attributes {
        let _ = write!(text, " {name}=\"{}\"", Escaped(value, Place::Attribute));
    }
    let _ = writeln!(text, "{end}");
}

/// Where a text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Element,
    Attribute,
}

/// A text that may stand there. What no XML document can hold is replaced.
struct Escaped<'a>(&'a str, Place);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, place) = self;
        for character in text.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\n' | '\t' if *place == Place::Element => f.write_char(character)?,
                // Readers make a blank of it unless it is escaped, or nothing.
                '\n' | '\t' | '\r' => write!(f, "&#{};", u32::from(character))?,
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Escaped, Place};

    fn check(place: Place, text: &str, expected: &str) {
        assert_eq!(Escaped(text, place).to_string(), expected);
    }

    #[test]
    fn nothing_ends_an_element_or_an_attribute() {
        for place in [Place::Element, Place::Attribute] {
            let text = "</failure><x y=\"1\"/>";
            check(place, text, "&lt;/failure&gt;&lt;x y=&quot;1&quot;/&gt;");
            check(place, "a && b ]]> c", "a &amp;&amp; b ]]&gt; c");
            check(place, "it's → fine", "it's → fine");
        }
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        let (text, shown) = (
            "a\u{0}b\u{1b}[31mc\u{ffff}",
            "a\u{fffd}b\u{fffd}[31mc\u{fffd}",
        );
        check(Place::Element, text, shown);
        check(Place::Element, "two\nlines\tand\r", "two\nlines\tand&#13;");
        check(Place::Attribute, "two\nlines", "two&#10;lines");
    }
}
