//! `explain`, `matrix` and `await`.

use crate::{HEAD, check, check_step};

#[test]
fn what_is_explained_is_a_service() {
    check_step(
        "explain: pod/web",
        &["13:14: pod/default/web cannot stand here: expected service/…"],
    );
    check_step(
        "explain: {service: service/web, form: pod/client}",
        &["13:37: unknown key `form` (did you mean `from`?)"],
    );
    check_step(
        "explain: {service: service/web, port: 80/ICMP}",
        &["13:43: \"80/ICMP\" is no port: expected a number such as 80, or 53/UDP"],
    );
    check_step(
        "explain: {service: service/web, from: node/node-c}",
        &["13:43: there is no node \"node-c\" in spec.cluster (did you mean `node-a`?)"],
    );
}

#[test]
fn findings_are_named_by_numbers_that_there_are() {
    let help = "`switchboard explain DBG-21` prints the page of one";
    check_step(
        "{explain: service/web, expect: {findings: [DBG-61]}}",
        &[&format!("13:48: \"DBG-61\" is no failure mode ({help})")],
    );
    check_step(
        "{explain: service/web, expect: {verdict: ill}}",
        &["13:46: \"ill\" is not one of healthy, broken, unknown"],
    );
    check_step(
        "{explain: service/web, expect: {}}",
        &["13:36: this expects nothing"],
    );
}

#[test]
fn a_repair_is_awaited_once_and_expects_nothing() {
    check(
        &format!("{HEAD}  - await: fix\n  - await: more\n"),
        &["14:5: a scenario awaits one repair, and an earlier step does already"],
    );
    check_step(
        "{await: fix, expect: {}}",
        &["13:18: a `await` expects nothing (give the next step the expectation)"],
    );
    check_step(
        "{matrix: {}, expect: {}}",
        &["13:18: a `matrix` expects nothing (give the next step the expectation)"],
    );
    check_step(
        "matrix: {all: yes}",
        &["13:14: unknown key `all` (known here: )"],
    );
}
