//! The step `proxy`: another configuration for nodes' proxies, and their restart.

use control::{ProxyConfig, ReferenceError};
use serde_json::json;
use serde_yaml::Value;

use crate::act::Judged;
use crate::run::Runner;

/// What is done to proxies.
#[derive(Clone, Debug)]
pub struct ProxyStep {
    /// Whose proxy; `None`: that of every node.
    pub node: Option<String>,
    /// `set`: what is written into their configuration files.
    pub set: Option<ProxyChange>,
    /// `restart`: whether they are started anew. What is set counts from then.
    pub restart: bool,
}

/// A part of a `KubeProxyConfiguration`, which has been read once without complaint.
#[derive(Clone, Debug)]
pub struct ProxyChange(pub(crate) Value);

/// Writes the configuration files, and restarts who is to be.
pub(crate) fn change(runner: &mut Runner<'_>, step: &ProxyStep) -> Judged {
    let nodes: Vec<String> = match &step.node {
        Some(node) => vec![node.clone()],
        None => runner
            .scenario
            .cluster
            .nodes
            .iter()
            .map(|node| node.name.clone())
            .collect(),
    };
    // All or nothing: no file is written before each is known to be good.
    let mut configs = Vec::new();
    for node in &nodes {
        match config_after(runner, node, step) {
            Ok(Ok(config)) => configs.push(config),
            Ok(Err(complaints)) => {
                let complaints = complaints.into_iter();
                return Judged::failed(complaints.map(|text| format!("{node}: {text}")).collect());
            }
            Err(error) => return error.into(),
        }
    }
    let mut lines = Vec::new();
    for (node, config) in nodes.iter().zip(configs) {
        match change_one(runner, node, config, step) {
            Ok(line) => lines.push(line),
            Err(error) => return error.into(),
        }
    }
    let text = match &lines[..] {
        [only] => only.clone(),
        [first, .., last] => format!("{first} … {last} ({} nodes)", lines.len()),
        [] => "there is no node".to_owned(),
    };
    Judged::done(json!({ "proxies": lines }), vec![text])
}

/// The configuration after the change, or what is wrong with it.
fn config_after(
    runner: &Runner<'_>,
    node: &str,
    step: &ProxyStep,
) -> Result<Result<ProxyConfig, Vec<String>>, ReferenceError> {
    let config = runner.world.proxy_config(node)?;
    Ok(match &step.set {
        Some(set) => set.onto(&config),
        None => Ok(config),
    })
}

/// Changes one proxy, and says so.
fn change_one(
    runner: &mut Runner<'_>,
    node: &str,
    config: ProxyConfig,
    step: &ProxyStep,
) -> Result<String, ReferenceError> {
    let mode = config.mode;
    if step.set.is_some() {
        runner.world.configure_proxy(node, config)?;
    }
    let and = match step.restart {
        false => ", from its next start on",
        true if runner.world.restart_proxy(node)? => ", restarted",
        true => ", which cannot run now: starts when it can",
    };
    Ok(format!("{node}: mode {mode}{and}"))
}
