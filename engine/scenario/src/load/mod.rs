//! Reading scenario files.
//!
//! **What.** [`load`] turns a file into [`Scenario`]s or into every problem that it can find, manifests
//! included. **Why.** Whatever can be known to be wrong before a run is an input error with its line; only
//! what depends on the run is judged then. Reading other files is the caller's: this crate does no I/O.
//! **Source of the semantics.** The scenario language's contract; manifests are kubectl's.

mod action;
mod by_hand;
mod check;
mod claims;
mod cluster;
mod config_file;
mod dump_time;
mod explain;
mod fault;
pub(crate) mod manifests;
mod names;
mod nodes;
mod proxy;
mod repair;
mod state;
mod steps;
mod sync_cost;
mod traffic;

use std::fmt;

use api::Manifest;
use api::yaml::{Problem, Source, split};
use base::Seed;
use control::{ClusterConfig, ProxyMode};

use crate::cursor::{Cursor, Read, Sink};
use crate::scenario::Scenario;
use crate::step::Step;
pub use by_hand::load_step;
use cluster::Cluster;
use manifests::Files;
pub use repair::load_repair;
use state::Stated;

/// The scenario language's version.
pub const API_VERSION: &str = "switchboard.dev/v1alpha1";

/// Documents in one file; each may hold a whole scenario.
const DOCUMENTS_MAX: usize = 100;

/// Everything that is wrong with a file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    /// What was read: the scenario's file and those that it names.
    sources: Vec<Source>,
}

impl Problems {
    /// The problems, those of the scenario's own file first, in the order of lines.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.problems
    }

    /// The text that a problem's line and column count in.
    #[must_use]
    pub fn text_of(&self, problem: &Problem) -> Option<&str> {
        text_of(&self.sources, &problem.file)
    }

    /// One problem after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    /// One line per problem, its help on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let start = if index == 0 { "" } else { "\n" };
            write!(f, "{start}{problem}")?;
            if let Some(help) = &problem.help {
                write!(f, "\n  help: {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Reads every scenario of a file.
///
/// `read` gives the text of another file by its path relative to the scenario's, or says why it cannot.
///
/// # Errors
/// All problems that can be found together: malformed YAML hides what stands behind it in its file.
pub fn load(
    source: &Source,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Vec<Scenario>, Problems> {
    let mut sources = vec![source.clone()];
    let only = |problem: Problem| Problems {
        problems: vec![problem],
        sources: vec![source.clone()],
    };
    let documents = split(source).map_err(only)?;
    let whole_file = |message: String| {
        let (line, column, path) = (1, 1, String::new());
        let help = Some(format!(
            "a scenario begins with `apiVersion: {API_VERSION}` and `kind: Scenario`"
        ));
        only(Problem {
            file: source.name.clone(),
            line,
            column,
            path,
            message,
            help,
        })
    };
    if documents.is_empty() {
        return Err(whole_file("there is no scenario in this file".to_owned()));
    }
    if documents.len() > DOCUMENTS_MAX {
        return Err(whole_file(format!(
            "{} documents are too many: at most {DOCUMENTS_MAX}",
            documents.len()
        )));
    }
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut problems = Vec::new();
    for document in &documents {
        let sink = Sink::default();
        let names: Vec<&str> = scenarios
            .iter()
            .map(|scenario| scenario.name.as_str())
            .collect();
        let mut files = Files::new(source, document, &sink, read);
        match scenario(&Cursor::root(document, &sink), &names, &mut files) {
            Ok(scenario) => scenarios.push(scenario),
            Err(_) => {
                sources.extend(files.take_sources());
                problems.extend(sink.into_problems(document));
            }
        }
    }
    if problems.is_empty() {
        Ok(scenarios)
    } else {
        Err(Problems { problems, sources })
    }
}

/// The text of a file among those read.
pub(crate) fn text_of<'a>(sources: &'a [Source], file: &str) -> Option<&'a str> {
    let source = sources.iter().find(|source| source.name == file);
    source.map(|source| source.text.as_str())
}

/// What steps need to know of the scenario that they stand in.
struct Setting<'a> {
    namespace: &'a str,
    /// `None` when the cluster itself could not be read: names in it are not judged then.
    cluster: Option<&'a ClusterConfig>,
    /// Those that the scenario is run in; none where the cluster could not be read.
    modes: &'a [ProxyMode],
}

/// `spec`, read.
struct Spec {
    seed: u64,
    namespace: String,
    modes: Vec<ProxyMode>,
    cluster: ClusterConfig,
    conclusion: Option<String>,
    manifests: Vec<Manifest>,
    steps: Vec<Step>,
}

fn scenario(root: &Cursor<'_>, names: &[&str], files: &mut Files<'_>) -> Read<Scenario> {
    let mut fields = root.fields()?;
    let api_version = fields.need("apiVersion", |at| at.word(&[(API_VERSION, ())]));
    let kind = fields.need("kind", |at| at.word(&[("Scenario", ())]));
    // What else stands in another kind of document would only draw complaints that help nobody.
    api_version?;
    kind?;
    let metadata = fields.need("metadata", |at| {
        let mut fields = at.fields()?;
        // It becomes the name of a folder.
        let name = fields.need("name", |at| match names::subdomain(at)? {
            name if names.contains(&name) => Err(at.refuse(format!(
                "another scenario of this file is called {name:?} too"
            ))),
            name => Ok(name.to_owned()),
        });
        let title = fields.may("title", |at| at.text().map(str::to_owned));
        let description = fields.may("description", |at| at.text().map(str::to_owned));
        fields.finish()?;
        Ok((name?, title?, description?))
    });
    let spec = fields.need("spec", |at| spec(at, files));
    fields.finish()?;
    let (name, title, description) = metadata?;
    let Spec {
        seed,
        namespace,
        modes,
        cluster,
        conclusion,
        manifests,
        steps,
    } = spec?;
    let (file, seed) = (files.document().source.clone(), Seed::new(seed));
    Ok(Scenario {
        name,
        title,
        description,
        file,
        seed,
        namespace,
        modes,
        manifests,
        steps,
        sources: files.take_sources(),
        repair: None,
        cluster,
        conclusion,
    })
}

fn spec(at: &Cursor<'_>, files: &mut Files<'_>) -> Read<Spec> {
    let mut fields = at.fields()?;
    let seed = fields.or("seed", 0, |at| at.integer(0..=u64::MAX));
    let namespace = fields.or("namespace", "default".to_owned(), |at| {
        names::label(at).map(str::to_owned)
    });
    let namespace = namespace?;
    let state_at = fields.given("state");
    let state = fields.may("state", |at| files.state(at, &namespace));
    let stated = state.as_ref().ok().and_then(Option::as_ref).zip(state_at);
    let stated = stated.map(|(state, at)| Stated { state, at });
    let cluster = fields.need("cluster", |at| cluster::cluster(at, stated.as_ref(), files));
    let manifests = fields.or("manifests", Vec::new(), |at| files.all(at, &namespace));
    let setting = Setting {
        namespace: &namespace,
        cluster: cluster.as_ref().ok().map(|cluster| &cluster.config),
        modes: cluster
            .as_ref()
            .map_or(&[][..], |cluster| &cluster.modes[..]),
    };
    let steps = fields.or("steps", Vec::new(), |at| steps::steps(at, &setting, files));
    fields.finish()?;
    let Cluster {
        modes,
        config,
        conclusion,
    } = cluster?;
    let (seed, manifests, steps) = (seed?, manifests?, steps?);
    state?;
    Ok(Spec {
        seed,
        namespace,
        modes,
        cluster: config,
        conclusion,
        manifests,
        steps,
    })
}
