//! `switchboard run --update`

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use api::yaml::Source;
use miette::Report as Failure;
use scenario::ScenarioReport;
use scenario::update::update;

use crate::{Exit, input, output};

/// Writes what was seen into the expectations that failed, and says what it wrote and what it could not.
pub(crate) fn write(files: &[&Path], reports: &[ScenarioReport]) -> Result<Exit, Failure> {
    let files: BTreeSet<&Path> = files.iter().copied().collect();
    let mut all_is_written = true;
    for file in files {
        let name = file.display().to_string();
        let own: Vec<&ScenarioReport> = reports.iter().filter(|one| one.file == name).collect();
        if own.iter().all(|report| report.passed()) {
            continue;
        }
        if input::is_stdin(file) {
            return Err(input::error("standard input cannot be updated", None));
        }
        let text = input::text_of(file)?;
        let found = update(&Source::new(&name, &text), &own);
        if found.text != text {
            let refuse = |why| input::error(format!("cannot write {name}: {why}"), None);
            fs::write(file, &found.text).map_err(refuse)?;
        }
        for written in &found.written {
            output::complain(&format!("{name}:{written}"));
        }
        for left in &found.left {
            output::complain(&format!("{name}:{left}"));
        }
        all_is_written &= found.left.is_empty();
    }
    Ok(if all_is_written {
        Exit::Passed
    } else {
        Exit::Failed
    })
}
