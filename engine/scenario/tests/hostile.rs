//! Whatever a file holds, reading it ends with scenarios or with problems that have a place in it.

use api::yaml::Source;
use proptest::prelude::*;
use switchboard_scenario::load;

const SHIPPED: &str = include_str!("../../../scenarios/clusterip.yaml");

fn shipped_file(path: &str) -> Result<String, String> {
    match path {
        "manifests/client.yaml" => Ok(include_str!("../../../scenarios/manifests/client.yaml")),
        "manifests/backends.yaml" => Ok(include_str!("../../../scenarios/manifests/backends.yaml")),
        "manifests/backend-service.yaml" => Ok(include_str!(
            "../../../scenarios/manifests/backend-service.yaml"
        )),
        _ => Err("no such file"),
    }
    .map(str::to_owned)
    .map_err(str::to_owned)
}

/// Reads a text and checks that every problem stands inside of it.
fn check(text: &str) {
    // YAML 1.1 has more line breaks than Rust (section 5.4).
    let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
    let lines = text.split(breaks).count() + 1;
    if let Err(problems) = load(&Source::new("s.yaml", text), &mut shipped_file) {
        assert!(!problems.as_slice().is_empty());
        for problem in problems.iter().filter(|problem| problem.file == "s.yaml") {
            assert!(
                (1..=lines).contains(&(problem.line as usize)),
                "{problem} of {lines} lines"
            );
            assert!(problem.column >= 1, "{problem}");
        }
    }
}

#[test]
fn the_shipped_scenario_is_read() {
    let scenarios = load(&Source::new("s.yaml", SHIPPED), &mut shipped_file);
    let scenarios = scenarios.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(scenarios.len(), 1);
    assert!(scenarios[0].step_names().any(|name| name == "publish"));
}

/// Places in a text where it may be cut.
fn cut(text: &str, place: usize) -> usize {
    (0..=place % (text.len() + 1))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn any_yaml_like_text(text in "([a-z]{1,5}|[-:{}\\[\\]|&*!'\"#, \n0-9]){0,60}") {
        check(&text);
    }

    #[test]
    fn a_scenario_with_a_piece_elsewhere(from in any::<usize>(), len in 0..80_usize, to in any::<usize>()) {
        let start = cut(SHIPPED, from);
        let end = cut(SHIPPED, (start + len).min(SHIPPED.len()));
        let (start, end) = (start.min(end), start.max(end));
        let place = cut(SHIPPED, to);
        check(&format!("{}{}{}", &SHIPPED[..place], &SHIPPED[start..end], &SHIPPED[place..]));
    }

    #[test]
    fn a_scenario_with_a_piece_missing(from in any::<usize>(), len in 1..200_usize) {
        let start = cut(SHIPPED, from);
        let end = cut(SHIPPED, (start + len).min(SHIPPED.len())).max(start);
        check(&format!("{}{}", &SHIPPED[..start], &SHIPPED[end..]));
    }
}
