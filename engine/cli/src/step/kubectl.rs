//! What kubectl is told to change, as steps of the scenario language.
//!
//! **Source of the semantics.** kubectl 1.36, S: `pkg/cmd/{delete,scale,patch,label,rollout,expose,exec}`.
//!
//! Deviation: `patch`, `scale`, `rollout restart` and `label` take one object.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::command::Order;
use super::generate::{ExposeOrder, Generated, RunOrder};
use super::strategic;

/// A change.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Change {
    /// kubectl apply
    Apply(File),
    /// kubectl create, of a file or of words: create deployment web --image nginx --port 80
    Create(CreateOrder),
    /// kubectl replace
    Replace(File),
    /// kubectl delete
    Delete(DeleteOrder),
    /// kubectl scale
    Scale(ScaleOrder),
    /// kubectl patch
    Patch(PatchOrder),
    /// kubectl label
    Label(LabelOrder),
    /// kubectl expose: a Service of a workload's Pods
    Expose(ExposeOrder),
    /// kubectl run: a Pod
    Run(RunOrder),
    /// kubectl rollout restart
    Rollout(RolloutOrder),
}

/// `kubectl create`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct CreateOrder {
    /// Manifests
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    file: Option<PathBuf>,
    #[command(subcommand)]
    generated: Option<Generated>,
}

/// A file of manifests.
#[derive(Debug, clap::Args)]
pub(super) struct File {
    /// Manifests
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    file: PathBuf,
}

/// `kubectl delete`
#[derive(Debug, clap::Args)]
pub(super) struct DeleteOrder {
    #[command(flatten)]
    objects: Named,
    /// What the manifests of a file name
    #[arg(
        short,
        long = "filename",
        value_name = "FILE",
        conflicts_with = "words"
    )]
    file: Option<PathBuf>,
    /// Seconds that Pods are given to end
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<u32>,
    /// At once
    #[arg(long)]
    force: bool,
    /// background, foreground or orphan: what becomes of the objects that it owns
    #[arg(long, value_name = "HOW")]
    cascade: Option<String>,
}

/// `kubectl scale`
#[derive(Debug, clap::Args)]
pub(super) struct ScaleOrder {
    #[command(flatten)]
    objects: Named,
    /// How many Pods
    #[arg(long, value_name = "COUNT")]
    replicas: u32,
}

/// `kubectl patch`
#[derive(Debug, clap::Args)]
pub(super) struct PatchOrder {
    #[command(flatten)]
    objects: Named,
    /// What is merged into the object: '{"spec": {"selector": {"app": "web"}}}', or the same as YAML
    #[arg(short, long, value_name = "PATCH")]
    patch: String,
    /// merge, where lists of the patch replace the object's; or strategic, where items of some lists are merged
    #[arg(long = "type", value_name = "TYPE", value_parser = ["merge", "strategic"], default_value = "strategic")]
    how: String,
}

/// `kubectl label`
#[derive(Debug, clap::Args)]
pub(super) struct LabelOrder {
    #[command(flatten)]
    objects: Named,
    /// A label that is there may get another value
    #[arg(long)]
    overwrite: bool,
}

/// `kubectl rollout restart`
#[derive(Debug, clap::Args)]
pub(super) struct RolloutOrder {
    /// restart
    #[arg(value_name = "restart", value_parser = ["restart"])]
    verb: String,
    #[command(flatten)]
    objects: Named,
}

/// `kubectl exec`
#[derive(Debug, clap::Args)]
pub(super) struct ExecOrder {
    /// As at a terminal, which is so anyway
    #[arg(short = 'i', long)]
    stdin: bool,
    /// As at a terminal, which is so anyway
    #[arg(short, long)]
    tty: bool,
    /// Of which container, which makes no difference: they share the Pod's network
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// In which namespace [default: the scenario's]
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// The Pod, or a workload that has one
    #[arg(value_name = "POD")]
    pod: String,
    /// curl, wget, nslookup, ping
    #[arg(value_name = "COMMAND", last = true, required = true)]
    command: Vec<String>,
}

/// What a change must know of the cluster that it is made in.
pub(super) trait Known {
    /// The object of a reference, as JSON.
    fn object(&self, reference: &str) -> Result<Json, String>;

    /// References to the objects of a file's manifests.
    fn listed(&self, file: &Path) -> Result<Vec<String>, String>;
}

impl Change {
    /// The change as a step of the scenario language.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn step(&self, known: &impl Known) -> Result<Json, String> {
        match self {
            Self::Apply(File { file }) => Ok(json!({"apply": {"file": file}})),
            Self::Create(CreateOrder { file, generated }) => match generated {
                Some(generated) => Ok(json!({"create": [generated.object()?]})),
                None => Ok(json!({"create": {"file": file}})),
            },
            Self::Replace(File { file }) => Ok(json!({"replace": {"file": file}})),
            Self::Delete(order) => order.step(known),
            Self::Scale(order) => order.step(),
            Self::Patch(order) => order.step(known),
            Self::Label(order) => order.step(known),
            Self::Expose(order) => Ok(json!({"create": [order.object(known)?]})),
            Self::Run(order) => Ok(json!({"create": [order.object()?]})),
            Self::Rollout(order) => order.step(),
        }
    }

    /// A line of the step's answer in the words of the command that was typed.
    pub(super) fn said(&self, line: &str) -> String {
        if let Some(refused) = self.refused(line) {
            return refused;
        }
        if let Some(file) = self.file() {
            return line.replace("\"STDIN\"", &format!("\"{}\"", file.display()));
        }
        let words: &[(&str, &str)] = match self {
            Self::Label(order) => &[
                ("patched (no change)", "not labeled"),
                ("patched", order.done()),
            ],
            Self::Expose(_) => &[("created", "exposed")],
            _ => &[],
        };
        let mut said = words.iter().filter_map(|(ours, theirs)| {
            let object = line.strip_suffix(ours)?;
            Some(format!("{object}{theirs}"))
        });
        said.next().unwrap_or_else(|| line.to_owned())
    }

    /// The file whose manifests are written.
    fn file(&self) -> Option<&Path> {
        match self {
            Self::Apply(File { file }) | Self::Replace(File { file }) => Some(file),
            Self::Create(order) => order.file.as_deref(),
            _ => None,
        }
    }

    /// A refusal of what was sent without a file.
    fn refused(&self, line: &str) -> Option<String> {
        const OF_FILE: &str = "error when creating \"STDIN\": ";
        let made = match self {
            Self::Create(CreateOrder { generated, .. }) => generated.as_ref()?.made(),
            Self::Run(_) | Self::Expose(_) => None,
            _ => return None,
        };
        let Some(made) = made else {
            return Some(line.replacen(OF_FILE, "", 1)).filter(|said| said != line);
        };
        let of_server = line.split_once(OF_FILE).map(|(_, error)| error);
        let error = of_server.or_else(|| line.strip_prefix("The "))?;
        Some(format!("error: failed to create {made}: {error}"))
    }
}

/// Objects as kubectl's commands take them, with what else stands among the words.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// KIND NAME…, or KIND/NAME…
    #[arg(value_name = "OBJECT")]
    words: Vec<String>,
    /// In which namespace [default: the scenario's]
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
}

impl Named {
    /// References as the scenario language spells them.
    fn references(&self) -> Result<Vec<String>, String> {
        self.references_of(&self.words)
    }

    fn references_of(&self, words: &[String]) -> Result<Vec<String>, String> {
        let named: Vec<(&str, &str)> = match words {
            [] => return Err("expected KIND NAME or KIND/NAME".to_owned()),
            [first, ..] if first.contains('/') => {
                let split = words.iter().map(|word| word.split_once('/'));
                let split: Option<_> = split.collect();
                split.ok_or("there is no need to specify a resource type as a separate argument when passing arguments in resource/name form")?
            }
            [kind] => return Err(format!("error: expected the name of a {kind} as well")),
            [kind, names @ ..] => names.iter().map(|name| (&**kind, &**name)).collect(),
        };
        let namespace = self.namespace.as_deref();
        let spelled = |(kind, name)| reference(kind, namespace, name);
        Ok(named.into_iter().map(spelled).collect())
    }

    /// The reference to the only object.
    pub(super) fn reference(&self) -> Result<String, String> {
        only(self.references()?)
    }
}

/// A reference as the scenario language spells it.
pub(super) fn reference(kind: &str, namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{kind}/{namespace}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

fn only(mut references: Vec<String>) -> Result<String, String> {
    match references.len() {
        1 => Ok(references.remove(0)),
        count => Err(format!("supported here: one object, not {count}")),
    }
}

impl DeleteOrder {
    fn step(&self, known: &impl Known) -> Result<Json, String> {
        let targets = match &self.file {
            Some(file) => known.listed(file)?,
            None => self.objects.references()?,
        };
        let mut delete = Map::from_iter([("target".to_owned(), json!(targets))]);
        let grace = self.grace_period.or(self.force.then_some(0));
        if let Some(seconds) = grace {
            delete.insert("gracePeriod".to_owned(), format!("{seconds}s").into());
        }
        if let Some(cascade) = &self.cascade {
            delete.insert("cascade".to_owned(), cascade.as_str().into());
        }
        Ok(json!({ "delete": delete }))
    }
}

impl ScaleOrder {
    fn step(&self) -> Result<Json, String> {
        let target = self.objects.reference()?;
        Ok(json!({"scale": {"target": target, "replicas": self.replicas}}))
    }
}

impl RolloutOrder {
    fn step(&self) -> Result<Json, String> {
        Ok(json!({"restart": self.objects.reference()?}))
    }
}

impl PatchOrder {
    fn step(&self, known: &impl Known) -> Result<Json, String> {
        let target = self.objects.reference()?;
        let patch: Json = serde_yaml::from_str(&self.patch)
            .map_err(|why| format!("error: unable to parse {:?}: {why}", self.patch))?;
        let patch = match self.how.as_str() {
            "merge" => patch,
            _ => strategic::merge_patch(&known.object(&target)?, &patch)?,
        };
        Ok(json!({"patch": {"target": target, "patch": patch}}))
    }
}

impl LabelOrder {
    /// What kubectl says has been done.
    fn done(&self) -> &'static str {
        let sets = self.objects.words.iter().any(|word| word.contains('='));
        match sets || self.overwrite {
            true => "labeled",
            false => "unlabeled",
        }
    }

    /// Which object gets which labels: `app=web`, or `app-` to take one away.
    fn parts(&self) -> Result<(String, Map<String, Json>), String> {
        let is_change = |word: &String| word.contains('=') || word.ends_with('-');
        let words = &self.objects.words;
        let at = words.iter().position(is_change).unwrap_or(words.len());
        let (objects, changes) = words.split_at(at);
        if changes.is_empty() {
            return Err("error: at least one label update is required".to_owned());
        }
        let target = only(self.objects.references_of(objects)?)?;
        let labels = changes.iter().map(|word| {
            let removed = || Some((word.strip_suffix('-')?.to_owned(), Json::Null));
            let set = |(key, value): (&str, &str)| (key.to_owned(), Json::from(value));
            let change = word.split_once('=').map(set).or_else(removed);
            change.ok_or_else(|| format!("error: invalid label spec: {word}"))
        });
        Ok((target, labels.collect::<Result<_, _>>()?))
    }

    fn step(&self, known: &impl Known) -> Result<Json, String> {
        let (target, changes) = self.parts()?;
        let object = known.object(&target)?;
        let present = &object["metadata"]["labels"];
        for (key, value) in changes.iter().filter(|_| !self.overwrite) {
            match (present[key].as_str(), value.as_str()) {
                (Some(now), Some(then)) if now != then => {
                    return Err(format!(
                        "error: '{key}' already has a value ({now}), and --overwrite is false"
                    ));
                }
                _ => {}
            }
        }
        Ok(json!({"patch": {"target": target, "patch": {"metadata": {"labels": changes}}}}))
    }
}

impl ExecOrder {
    /// The command.
    ///
    /// # Errors
    /// When it is none of a Pod.
    pub(super) fn inner(&self) -> Result<Order, String> {
        const PROGRAMS: [&str; 4] = ["curl", "wget", "nslookup", "ping"];
        match self.command.first() {
            Some(program) if PROGRAMS.contains(&program.as_str()) => Order::parse(&self.command),
            _ => Err(format!("supported in a Pod: {}", PROGRAMS.join(", "))),
        }
    }

    /// Where the command runs, as the scenario language spells it.
    pub(super) fn place(&self) -> String {
        let (kind, name) = self.pod.split_once('/').unwrap_or(("pod", &self.pod));
        reference(kind, self.namespace.as_deref(), name)
    }
}
