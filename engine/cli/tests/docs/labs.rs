//! The book's chapter on labs: a page for each, of what its files say and of what the command prints.

use std::collections::BTreeSet;
use std::fs;

use explain::Page;
use serde_yaml::Value;

use crate::common::lab::{Lab, labs};
use crate::common::{root, stdout, switchboard};
use crate::{check_block, check_file};

/// Where the pages are.
const PAGES: &str = "book/src/labs";
/// Lines that belong to a step begin so.
const BELOW_A_STEP: &str = "        ";

#[test]
fn the_book_has_a_page_for_every_lab_and_no_other() {
    let labs = labs();
    for lab in &labs {
        check_file(&format!("{PAGES}/{}.md", lab.name), &page(lab));
    }
    let wanted: BTreeSet<String> = labs.iter().map(|lab| format!("{}.md", lab.name)).collect();
    let entries = fs::read_dir(root().join(PAGES)).expect("there are pages");
    let found = entries.map(|entry| entry.expect("the folder can be read").file_name());
    let found: BTreeSet<String> = found
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn the_summary_has_every_lab() {
    let file = "book/src/SUMMARY.md";
    let text = fs::read_to_string(root().join(file)).unwrap();
    let mut wanted = String::new();
    for line in text.lines().filter(|line| !line.contains("](labs/")) {
        wanted.push_str(&format!("{line}\n"));
        if line.contains("](labs.md)") {
            for lab in labs() {
                wanted.push_str(&format!("  - [{}](labs/{}.md)\n", title(&lab), lab.name));
            }
        }
    }
    check_file(file, &wanted);
}

/// Which lab shows which failure mode, for readers of the book and of the folder.
#[test]
fn the_labs_are_listed_by_what_they_show() {
    let mut table = "| lab | what is broken | failure mode |\n|---|---|---|\n".to_owned();
    for lab in labs() {
        let Page {
            id, title: mode, ..
        } = explain::page(lab.id()).expect("it has a page");
        let title = title(&lab);
        table.push_str(&format!(
            "| [`{0}`](labs/{0}.md) | {title} | {id}: {mode} |\n",
            lab.name
        ));
    }
    check_block("book/src/labs.md", "labs", &table);
    let mut table = "| id | what goes wrong | lab |\n|---|---|---|\n".to_owned();
    for page in explain::pages() {
        let shown = shown_by(&page, |lab| format!("[`{lab}`]({lab})"));
        table.push_str(&format!("| {} | {} | {shown} |\n", page.id, page.title));
    }
    check_block("scenarios/labs/README.md", "modes", &table);
}

#[test]
fn the_book_lists_every_pitfall() {
    let mut table = "| id | what goes wrong | lab |\n|---|---|---|\n".to_owned();
    for page in explain::pages() {
        let labs = shown_by(&page, |lab| format!("[`{lab}`](labs/{lab}.md)"));
        table.push_str(&format!(
            "| [{}](#{}) | {} | {labs} |\n",
            page.id,
            anchor(&page),
            page.title
        ));
    }
    check_block("book/src/pitfalls.md", "pitfalls", &table);
}

/// The labs of a failure mode, or why there is none.
fn shown_by(page: &Page, link: impl Fn(&str) -> String) -> String {
    let line = |part: &str| page.text.lines().find_map(|line| line.strip_prefix(part));
    let labs = line("**Lab:** ").map(|labs| {
        let labs = labs.split(", ").map(|lab| link(lab.trim_matches('`')));
        labs.collect::<Vec<_>>().join(", ")
    });
    labs.or_else(|| line("**No lab:** ").map(str::to_owned))
        .unwrap_or_default()
}

/// As mdBook makes anchors of headings.
fn anchor(page: &Page) -> String {
    let heading = format!("{} {}", page.id, page.title).to_lowercase();
    let heading = heading.replace(' ', "-");
    heading.replace(|c: char| !c.is_alphanumeric() && c != '-', "")
}

fn title(lab: &Lab) -> &str {
    lab.scenario["metadata"]["title"]
        .as_str()
        .expect("it has a title")
}

fn page(lab: &Lab) -> String {
    let mode = explain::page(lab.id()).expect("it has a page");
    let fix = fs::read_to_string(root().join(lab.fix())).expect("it has a repair");
    let (head, _) = lab
        .text
        .split_once("\n#\n")
        .expect("its comment has two parts");
    let told: Vec<&str> = head
        .lines()
        .map(|line| line.trim_start_matches(['#', ' ']))
        .collect();
    let (file, fix_file) = (lab.file(), lab.fix());
    let question = lab.question("why").join(" ");
    let run = stdout(&switchboard(
        &root(),
        &["run", &file, "--mode", mode_of(lab)],
    ));
    let args = ["run", &file, "--mode", mode_of(lab), "--with", &fix_file];
    let repaired = stdout(&switchboard(&root(), &args));
    let explained = explained(lab);
    let (_, after) = repaired
        .split_once("  await ")
        .unwrap_or_else(|| panic!("{}: {repaired}", lab.name));
    let (seen, mended) = (looks(lab, &run), looks(lab, after));
    format!(
        "<!-- Written by `UPDATE_DOCS=1 cargo test -p switchboard-cli --test docs` from {folder}. -->\n\
         # {title}\n\n{told}\n\n\
         Failure mode: [{id}: {mode_title}](../pitfalls.md#{anchor}). Files: `{folder}/`.\n\n\
         ## What the user sees\n\n\
         ```sh\nswitchboard run {file}\n```\n\n```text\n{seen}```\n\n\
         ## What `explain` says\n\n\
         ```sh\nswitchboard explain {question} --in {file}\n```\n\n```text\n{explained}```\n\n\
         ## The repair\n\n\
         ```yaml\n{fix}```\n\n\
         ```sh\nswitchboard run {file} --with {fix_file}\n```\n\n```text\n{mended}```\n",
        folder = lab.folder(),
        title = title(lab),
        told = told.join("\n"),
        id = mode.id,
        mode_title = mode.title,
        anchor = anchor(&mode),
    )
}

/// The first of its modes.
fn mode_of(lab: &Lab) -> &str {
    let modes = &lab.scenario["spec"]["cluster"]["modes"];
    modes.get(0).and_then(Value::as_str).expect("it has modes")
}

fn explained(lab: &Lab) -> String {
    let (question, file) = (lab.question("why"), lab.file());
    let question = question.iter().map(String::as_str);
    let args: Vec<&str> = ["explain"].into_iter().chain(question).collect();
    stdout(&switchboard(
        &root(),
        &[&args[..], &["--in", &file]].concat(),
    ))
}

/// The steps of a timeline that expect something, with what was seen, up to the explanation.
fn looks(lab: &Lab, timeline: &str) -> String {
    let steps = lab.scenario["spec"]["steps"].as_sequence();
    let expecting = steps.expect("it has steps").iter().filter(|step| {
        let has = |key: &str| step.get(key).is_some();
        has("expect") && !has("explain")
    });
    let named = |step: &Value| Some(format!("{}:", step["name"].as_str()?));
    let names: BTreeSet<String> = expecting.filter_map(named).collect();
    let mut text = String::new();
    let mut is_shown = false;
    for line in timeline.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["✔", _, "explain", ..] => break,
            ["✔" | "✘" | "–", _, _, name, ..] => is_shown = names.contains(name),
            // What a step saw stands indented below it; what the cluster does by itself does not.
            _ => is_shown &= line.starts_with(BELOW_A_STEP),
        }
        if is_shown && !line.trim().is_empty() {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}
