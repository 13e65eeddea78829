//! Revisions: which ReplicaSet is the newest, which were before, and how many of these are kept.
//!
//! **Source of the semantics.** S: `pkg/controller/deployment/util/deployment_util.go` (SetNewReplicaSetAnnotations),
//! `pkg/controller/deployment/sync.go` (getNewReplicaSet, cleanupDeployment).

use api::{ANNOTATION_STATUS, Deployment, LAST_APPLIED};

use super::member::{DESIRED, MAX, Member};

/// The number of a revision, on ReplicaSets and on the Deployment.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// The numbers that a ReplicaSet had before it was used again.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// How many characters of these are kept.
const HISTORY_LENGTH: usize = 2000;
/// What a Deployment does not pass on to its ReplicaSets.
const NOT_COPIED: [&str; 7] = [
    LAST_APPLIED,
    ANNOTATION_STATUS,
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// The number after those of all old ReplicaSets.
pub(super) fn next(old: &[Member]) -> i64 {
    let newest = old.iter().filter_map(of).max();
    newest.unwrap_or(0).max(0).saturating_add(1)
}

/// A ReplicaSet's revision.
fn of(member: &Member) -> Option<i64> {
    let number = member.set.metadata.annotations.get(REVISION)?;
    number.parse().ok()
}

/// Makes a ReplicaSet the newest one: it has the Deployment's annotations, and a number above all others. One that
/// cannot be read is left alone.
pub(super) fn promote(member: &mut Member, deployment: &Deployment, revision: i64) {
    for (annotation, value) in &deployment.metadata.annotations {
        if !NOT_COPIED.contains(&annotation.as_str()) {
            member.annotate(annotation, value);
        }
    }
    let annotations = &member.set.metadata.annotations;
    let known = annotations.get(REVISION).cloned().unwrap_or_default();
    let number = if known.is_empty() {
        Ok(0)
    } else {
        known.parse::<i64>()
    };
    if number.is_ok_and(|number| number < revision) {
        if !known.is_empty() {
            let history = annotations.get(HISTORY).cloned().unwrap_or_default();
            member.annotate(HISTORY, &extended(&history, &known));
        }
        member.annotate(REVISION, &revision.to_string());
    }
}

/// A history with one more revision, without the oldest ones if it is too long.
fn extended(history: &str, revision: &str) -> String {
    let mut history = history;
    while !history.is_empty() && history.len() + 1 + revision.len() > HISTORY_LENGTH {
        history = history.split_once(',').map_or("", |(_, later)| later);
    }
    if history.is_empty() {
        revision.to_owned()
    } else {
        format!("{history},{revision}")
    }
}

/// Lets the oldest of the old ReplicaSets go until `limit` are left. One that has Pods, or may have some, stays.
pub(super) fn clean_up(old: &mut [Member], limit: Option<i32>) {
    let limit = match limit {
        None | Some(i32::MAX) => return,
        Some(limit) => usize::try_from(limit).unwrap_or(0),
    };
    let alive = |member: &&mut Member| !member.set.metadata.is_terminating();
    let mut old: Vec<&mut Member> = old.iter_mut().filter(alive).collect();
    let surplus = old.len().saturating_sub(limit);
    old.sort_by_key(|member| of(member).unwrap_or(0));
    for member in old.into_iter().take(surplus) {
        let meta = &member.set.metadata;
        let is_seen = member.set.status.observed_generation >= meta.generation;
        if member.actual() == 0 && member.replicas() == 0 && is_seen {
            member.doom();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_forget_their_beginning() {
        assert_eq!(extended("", "1"), "1");
        assert_eq!(extended("1,3", "5"), "1,3,5");
        let long = vec!["1000"; 400].join(",");
        let extended = extended(&long, "2000");
        assert!(extended.len() <= HISTORY_LENGTH && extended.ends_with("1000,2000"));
    }
}
