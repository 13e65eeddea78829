//! A commit to tables that are separate for each family.

use std::collections::BTreeMap;
use std::sync::Arc;

use rules::NodeFacts;
use ruleset::Family;

use crate::{CommitError, LoadError};

/// Commits the tables of each family. One that fails does not keep the other from being committed, and one that the kernel
/// lacks is left out if the node has no address of it.
///
/// # Errors
/// What failed first.
pub(crate) fn commit_each<T>(
    node: &NodeFacts,
    tables: &BTreeMap<Family, T>,
    mut commit: impl FnMut(&T) -> Result<(), LoadError>,
) -> Result<(), CommitError> {
    let mut failed = None;
    for (family, tables) in tables {
        match commit(tables) {
            Err(error) if error.can_be_left_out(node, *family) => {}
            Err(error) => failed = failed.or(Some(error)),
            Ok(()) => {}
        }
    }
    match failed {
        None => Ok(()),
        Some(source) => Err(CommitError {
            node: Arc::clone(&node.name),
            source,
        }),
    }
}
