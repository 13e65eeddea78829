//! `switchboard rules --output json`: the same rules as typed tables.

mod common;

use common::{root, stderr, stdout, switchboard};
use serde_json::Value;

fn rules(mode: &str) -> Value {
    let output = switchboard(
        &root(),
        &[
            "rules",
            "--in",
            "scenarios/clusterip.yaml",
            "--at",
            "publish",
            "--node",
            "node-a",
            "--mode",
            mode,
            "--output",
            "json",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// All rules of all chains below a value.
fn all_rules(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            let own = fields.get("rules").and_then(Value::as_array);
            found.extend(own.into_iter().flatten().cloned());
            fields.values().for_each(|value| all_rules(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| all_rules(value, found)),
        _ => {}
    }
}

/// Every test and target of a proxy's own rules is typed.
fn check_typed(tables: &Value) {
    let mut rules = Vec::new();
    all_rules(tables, &mut rules);
    for rule in rules {
        let tests = rule["matches"].as_array().unwrap().iter();
        let mut words = tests
            .map(|one| &one["module"])
            .chain([&rule["target"]["kind"]]);
        assert!(words.all(|word| *word != "other"), "{rule}");
    }
}

/// Every rule has a text, and a chain that one leads to is there.
fn check_tables(table: &Value, chains: &Value) {
    let mut rules = Vec::new();
    all_rules(table, &mut rules);
    assert!(!rules.is_empty(), "{table}");
    for rule in rules {
        assert!(rule["text"].as_str().is_some_and(|text| !text.is_empty()));
        let leads_to = [&rule["target"]["chain"], &rule["verdict"]["chain"]];
        for chain in leads_to.into_iter().filter_map(Value::as_str) {
            assert!(chains.get(chain).is_some(), "{chain} of {rule}");
        }
    }
}

#[test]
fn iptables() {
    let seen = rules("iptables");
    assert_eq!(seen["kind"], "Rules");
    let nat = &seen["iptables"]["ipv4"]["nat"];
    check_tables(nat, nat);
    let services = nat["KUBE-SERVICES"]["rules"].as_array().unwrap();
    let of_service = services.iter().find(|rule| {
        rule["destination"]["net"] == "10.103.183.221/32" && rule["target"]["kind"] == "jump"
    });
    let rule = of_service.expect("a rule of the Service");
    assert!(
        rule["meaning"]
            .as_str()
            .unwrap()
            .contains("my-internal-backend-api")
    );
    let ports = rule["matches"].as_array().unwrap().iter();
    let port = ports.filter_map(|one| one["destinationPorts"]["first"].as_u64());
    assert_eq!(port.collect::<Vec<_>>(), [80]);
    check_typed(&seen["iptables"]);
    let mut all = Vec::new();
    all_rules(&seen["iptables"], &mut all);
    assert!(all.iter().any(|rule| rule["target"]["kind"] == "DNAT"));
    assert!(all.len() as u64 <= seen["rules"].as_u64().unwrap());
}

#[test]
fn nftables() {
    for mode in ["nftables", "flat"] {
        let seen = rules(mode);
        let table = &seen["nftables"]["ip kube-proxy"];
        check_tables(&table["chains"], &table["chains"]);
        let maps = table["maps"].as_object().unwrap().values();
        let mut elements = maps.flat_map(|map| map["elements"].as_array().unwrap());
        let of_service = elements.find(|one| one["key"][0] == "10.103.183.221");
        let element = of_service.expect("an element of the Service");
        assert!(!element["value"].is_null(), "{element}");
    }
}

#[test]
fn ipvs() {
    let seen = rules("ipvs");
    let nat = &seen["iptables"]["ipv4"]["nat"];
    check_tables(nat, nat);
    check_typed(&seen["iptables"]);
    let servers = seen["ipvs"]["ipv4"].as_array().unwrap();
    let server = servers
        .iter()
        .find(|one| one["address"] == "10.103.183.221:80");
    let real = server.unwrap()["realServers"].as_array().unwrap();
    assert_eq!(real.len(), 3);
    assert_eq!(real[0]["weight"], 1);
    let entries = seen["ipset"]["ipv4"]["KUBE-CLUSTER-IP"]["entries"]
        .as_array()
        .unwrap();
    assert!(entries.contains(&Value::from("10.103.183.221,tcp:80")));
}
