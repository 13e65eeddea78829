//! The labs, as their files have them.

use std::fs;

use serde_yaml::Value;

use super::root;

/// One lab.
pub(crate) struct Lab {
    /// The name of its folder.
    pub(crate) name: String,
    /// `lab.yaml`
    pub(crate) text: String,
    /// The same, read.
    pub(crate) scenario: Value,
}

/// Every lab, in the order of names.
pub(crate) fn labs() -> Vec<Lab> {
    let entries = fs::read_dir(root().join("scenarios/labs")).expect("there are labs");
    let entries = entries.map(|entry| entry.expect("the folder can be read"));
    let folders = entries.filter(|entry| entry.path().is_dir());
    let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut labs: Vec<Lab> = names.map(Lab::read).collect();
    labs.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(labs.len() > 30, "{}", labs.len());
    labs
}

impl Lab {
    fn read(name: String) -> Self {
        let path = root().join(format!("scenarios/labs/{name}/lab.yaml"));
        let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{name}: {why}"));
        let scenario = serde_yaml::from_str(&text).expect("it is YAML");
        Self {
            name,
            text,
            scenario,
        }
    }

    /// Its folder, from the root.
    pub(crate) fn folder(&self) -> String {
        format!("scenarios/labs/{}", self.name)
    }

    pub(crate) fn file(&self) -> String {
        format!("{}/lab.yaml", self.folder())
    }

    pub(crate) fn fix(&self) -> String {
        format!("{}/fix.yaml", self.folder())
    }

    /// The failure mode that it is about, which its first line begins with.
    pub(crate) fn id(&self) -> &str {
        let rest = self.text.strip_prefix("# ").expect("it begins in words");
        let end = rest.find([':', ' ', ',']).expect("the number ends");
        &rest[..end]
    }

    /// What `explain` is asked in a step, as arguments of the command.
    pub(crate) fn question(&self, step: &str) -> Vec<String> {
        let steps = self.scenario["spec"]["steps"].as_sequence();
        let mut steps = steps.expect("it has steps").iter();
        let found = steps.find(|found| found["name"] == step);
        let asked =
            &found.unwrap_or_else(|| panic!("{}: no step is called {step}", self.name))["explain"];
        if let Some(service) = asked.as_str() {
            return vec![service.to_owned()];
        }
        let given = |key: &str| match &asked[key] {
            Value::Null => None,
            Value::Number(number) => Some(number.to_string()),
            text => Some(text.as_str().expect("a text").to_owned()),
        };
        let mut args = vec![given("service").expect("a Service")];
        for key in ["from", "port", "name"] {
            if let Some(value) = given(key) {
                args.extend([format!("--{key}"), value]);
            }
        }
        args
    }
}
