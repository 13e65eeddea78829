use serde_json::json;

use super::*;

fn check(value: &Value, expected: &str) {
    assert_eq!(document(value), expected);
}

fn check_text(text: &str, expected: &str) {
    check(&json!({ "k": text }), &format!("k: {expected}\n"));
}

#[test]
fn nesting() {
    check(
        &json!({"b": [{"y": 1, "x": [[], {}, [1, {"k": "v", "l": null}]]}], "a": {"c": {}}, "d": true}),
        "a:\n  c: {}\nb:\n- x:\n  - []\n  - {}\n  - - 1\n    - k: v\n      l: null\n  \"y\": 1\nd: true\n",
    );
    check(&json!([]), "[]\n");
    check(&json!("x"), "x\n");
}

#[test]
fn texts_that_read_as_something_else_are_quoted() {
    for text in [
        "",
        "1",
        "-1",
        "0x1F",
        "0o17",
        "017",
        "1_000",
        "1.5",
        ".5",
        "1e3",
        "true",
        "No",
        "on",
        "y",
        "~",
        "null",
        ".inf",
        "12:30",
        "1:2:3.5",
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "2026-1-2 3:4:5.6",
        "2026-01-01T00:00:00+01:00",
    ] {
        check_text(text, &format!("\"{text}\""));
    }
}

#[test]
fn other_texts_are_plain() {
    for text in [
        "web",
        "10.96.0.1",
        "10.96.0.0/12",
        "fd00::1",
        "v1.36.2",
        "1.2.3",
        "32Gi",
        "100m",
        "0x",
        "08:70",
        "yes please",
        "2026-13-01",
        "a#b",
        "a:b",
        "-x",
        "?x",
        "x'y",
        "5s",
        "1e",
        "é",
        "<none>",
        "+",
        "a, b",
    ] {
        check_text(text, text);
    }
}

#[test]
fn texts_with_syntax_in_them_are_quoted() {
    check_text("a: b", "'a: b'");
    check_text("a #b", "'a #b'");
    check_text("it's: so", "'it''s: so'");
    check_text("*", "'*'");
    check_text("-", "'-'");
    check_text("- a", "'- a'");
    check_text(" a", "' a'");
    check_text("{}", "'{}'");
    check_text("--- a", "'--- a'");
    check_text("a:", "'a:'");
    check_text("a\tb", "\"a\\tb\"");
    check_text("\u{7}\u{1b}\u{1}", "\"\\a\\e\\x01\"");
}

#[test]
fn several_lines_are_literal() {
    check_text("a\nb\n", "|\n  a\n  b");
    check_text("a\nb", "|-\n  a\n  b");
    check_text("a\n\n", "|+\n  a\n");
    check_text(" a\n\nb\n", "|2\n   a\n\n  b");
    check_text("a \nb", "\"a \\nb\"");
    check_text("a\tb\n", "\"a\\tb\\n\"");
    check(
        &json!([{"k": "a\nb\n", "l": 1}, "c\n"]),
        "- k: |\n    a\n    b\n  l: 1\n- |\n  c\n",
    );
}

#[test]
fn long_texts_are_folded_behind_column_80() {
    let words = "word ".repeat(40);
    let words = words.trim_end();
    let plain = document(&json!({ "k": words }));
    let lines: Vec<&str> = plain.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].len() > WIDTH && lines[0].len() < WIDTH + 5);
    assert!(lines[1].starts_with("  word "));
    let single = document(&json!({ "k": format!("{words}: x") }));
    assert_eq!(single.lines().count(), 3);
    let double = document(&json!({ "k": format!("{words} \u{1}") }));
    assert_eq!(double.lines().count(), 3);
    let unbroken = "x".repeat(300);
    check_text(&unbroken, &unbroken);
}

#[test]
fn keys_stand_in_natural_order() {
    let keys = ["a10", "a9", "a-b", "ab", "B", "a", "10", "9", "a01", "a1"];
    let map: Map<String, Value> = keys
        .iter()
        .map(|key| ((*key).to_owned(), json!(1)))
        .collect();
    let printed = document(&map.into());
    let order: Vec<&str> = printed
        .lines()
        .map(|line| line.strip_suffix(": 1").unwrap().trim_matches('"'))
        .collect();
    assert_eq!(
        order,
        ["9", "10", "B", "a", "a-b", "a1", "a01", "a9", "a10", "ab"]
    );
}

#[test]
fn long_keys_have_a_question_mark() {
    let key = "k".repeat(129);
    check(&json!({ &key: 1 }), &format!("? {key}\n: 1\n"));
}

#[test]
fn what_is_written_reads_back() {
    for text in [
        "",
        " ",
        "\n",
        "\n\n",
        "a\n",
        "\na",
        "a\n b\n",
        " a\nb",
        "a \n b",
        "'",
        "\"",
        "\\",
        "\u{feff}x",
        "\u{85}",
        "\r\n",
        "a: |\n",
        "%x",
        "@x",
        "`x",
        "null",
        "0b101",
        "1__0",
        "=",
        "<<",
        "!x",
        "&x",
        "x: ",
        "\t",
        "a\u{2028}b",
    ] {
        let value = json!({"k": text, "l": [text, {"m": text}]});
        let printed = document(&value);
        let read: Value = serde_yaml::from_str(&printed)
            .unwrap_or_else(|why| panic!("{text:?}: {why}\n{printed}"));
        assert_eq!(read, value, "{printed}");
    }
}
