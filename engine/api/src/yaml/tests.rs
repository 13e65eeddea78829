use super::*;

fn documents(text: &str) -> Vec<Document> {
    split(&Source::new("file.yaml", text)).unwrap()
}

fn check(text: &str, path: &str, part: Part, line: u32, column: u32) {
    let documents = documents(text);
    let document = documents.last().unwrap();
    let place = document.locate(&Path::parse(path), part);
    assert_eq!(
        (place.line, place.column),
        (line, column),
        "{path} in\n{text}"
    );
}

#[test]
fn places_in_block_style() {
    let text =
        "metadata:\n  name: web\nspec:\n  ports:\n  - name: a\n    port: 80\n  -   port: 81\n";
    check(text, "metadata", Part::Key, 1, 1);
    check(text, "metadata", Part::Value, 2, 3);
    check(text, "metadata.name", Part::Key, 2, 3);
    check(text, "metadata.name", Part::Value, 2, 9);
    check(text, "spec.ports", Part::Key, 4, 3);
    check(text, "spec.ports", Part::Value, 5, 3);
    check(text, "spec.ports[0]", Part::Value, 5, 5);
    check(text, "spec.ports[0].port", Part::Value, 6, 11);
    check(text, "spec.ports[1].port", Part::Key, 7, 7);
    check(text, "", Part::Value, 1, 1);
}

#[test]
fn places_in_flow_style_and_json() {
    check(
        "spec: {ports: [{port: 80}, {port: 81}]}\n",
        "spec.ports[1].port",
        Part::Value,
        1,
        35,
    );
    check(
        "spec: {ports: [{port: 80}, {port: 81}]}\n",
        "spec.ports[1]",
        Part::Value,
        1,
        28,
    );
    check(
        "{\n  \"a\": {\"b\": [1, 2]}\n}\n",
        "a.b[1]",
        Part::Value,
        2,
        18,
    );
    check("{\n  \"a\": {\"b\": [1, 2]}\n}\n", "a.b", Part::Key, 2, 9);
}

#[test]
fn what_is_missing_is_shown_at_its_nearest_ancestor() {
    let text = "spec:\n  ports:\n  - port: 80\n";
    check(text, "spec.ports[0].name", Part::Value, 3, 5);
    check(text, "spec.selector.app", Part::Value, 1, 1);
    check(text, "spec.ports[4].name", Part::Key, 2, 3);
    check(text, "spec.ports.name", Part::Key, 2, 3);
    check(text, "status", Part::Key, 1, 1);
}

#[test]
fn lines_count_in_the_file() {
    let text = "\u{feff}# head\n---\na: 1\n--- # next\n\nb:\n  c: 2\n---\n# nothing\n";
    let all = documents(text);
    assert_eq!(
        all.iter()
            .map(|document| document.first_line)
            .collect::<Vec<_>>(),
        [3, 5]
    );
    let place = all[1].locate(&Path::parse("b.c"), Part::Value);
    assert_eq!((place.line, place.column), (7, 6));
    assert_eq!(all[0].locate(&Path::parse("a"), Part::Key).line, 3);
}

#[test]
fn columns_count_characters() {
    check("{ü: 1, b: 2}\n", "b", Part::Key, 1, 8);
}

#[test]
fn merge_keys_apply() {
    let all = documents("base: &base {a: 1}\nuse: {<<: *base, b: 2}\n");
    assert_eq!(all[0].value["use"]["a"], 1);
    check(
        "base: &base {a: 1}\nuse: {<<: *base, b: 2}\n",
        "use.a",
        Part::Value,
        2,
        1,
    );
}

#[test]
fn bad_yaml_has_a_place_in_the_file() {
    let check = |text: &str, place: &str, message: &str, help: &str| {
        let problem = split(&Source::new("f", text)).unwrap_err();
        assert_eq!(
            (problem.to_string(), problem.path.as_str()),
            (format!("f:{place}: {message}"), ""),
            "{text}"
        );
        assert_eq!(problem.help.as_deref(), Some(help), "{text}");
    };
    let token = "found character that cannot start any token";
    let tab = "YAML is indented by spaces: put spaces in place of the tab";
    check("a:\n\t- b\n", "2:1", token, tab);
    check(
        "a: 1\n---\nb:\n  c: 1\n\td: 1\n",
        "5:1",
        "found a tab character that violates indentation",
        tab,
    );
    let quote = "put a value that begins with this character in quotes";
    check("a: @b\n", "1:4", token, quote);
    let once = "a key may be given once only: this is the second time";
    check(
        "a: 1\nb: 2\na: 3\n",
        "3:1",
        "duplicate entry with key \"a\"",
        once,
    );
    assert!(split(&Source::new("file.yaml", "a: *nobody\n")).is_err());
}

#[test]
fn a_key_given_twice_is_shown_where_it_is_given_again() {
    let check = |text: &str, path: &str, line: u32, column: u32| {
        let problem = split(&Source::new("f", text)).unwrap_err();
        assert!(problem.message.starts_with("duplicate entry"), "{problem}");
        assert_eq!(
            (problem.line, problem.column, problem.path.as_str()),
            (line, column, path),
            "{text}"
        );
    };
    check(
        "a: 1\n---\nspec:\n  port: 1\n  list: [{a: b}, 1.5, ~, true, -1]\n  port: 2\n",
        "spec",
        6,
        3,
    );
    check("{a: {b: 1, c: 2, b: 3}}\n", "a", 1, 18);
    check("- x: 1\n- {x: 1}\n- x: !tag {y: 1, y: 2}\n", "[2].x", 3, 18);
    check("1: a\n1: b\n", "", 2, 1);
}

#[test]
fn a_number_too_large_is_called_so() {
    let text = "spec:\n  seed: 99999999999999999999999\n";
    let problem = split(&Source::new("f", text)).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "f:2:9: 99999999999999999999999 is too large a number"
    );
    assert_eq!(problem.path, "spec.seed");
}

#[test]
fn a_depth_bomb_is_refused_at_once() {
    let bomb = format!("a: b\nc: {}", "[".repeat(100_000));
    let problem = split(&Source::new("bomb.yaml", bomb)).unwrap_err();
    assert_eq!((problem.line, problem.column), (2, 1004));
    assert!(problem.message.contains("within each other"), "{problem}");
}
