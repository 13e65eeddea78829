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
    let mut lines = Vec::new();
    for node in &nodes {
        match change_one(runner, node, step) {
            Ok(Ok(config)) => {
                let and = if step.restart { ", restarted" } else { "" };
                lines.push(format!("{node}: mode {}{and}", config.mode));
            }
            Ok(Err(complaints)) => {
                let complaints = complaints.into_iter();
                return Judged::failed(complaints.map(|text| format!("{node}: {text}")).collect());
            }
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
fn change_one(
    runner: &mut Runner<'_>,
    node: &str,
    step: &ProxyStep,
) -> Result<Result<ProxyConfig, Vec<String>>, ReferenceError> {
    let mut config = runner.world.proxy_config(node)?;
    if let Some(set) = &step.set {
        config = match set.onto(&config) {
            Ok(config) => config,
            Err(complaints) => return Ok(Err(complaints)),
        };
        runner.world.configure_proxy(node, config.clone())?;
    }
    if step.restart {
        runner.world.restart_proxy(node)?;
    }
    Ok(Ok(config))
}
