//! `switchboard schema`

use miette::Report;
use scenario::schema;

use crate::{Exit, output};

/// Prints the JSON Schema of scenarios.
pub(crate) fn run() -> Result<Exit, Report> {
    output::print(&format!("{:#}\n", schema::scenario()))?;
    Ok(Exit::Passed)
}
