//! `switchboard step`
//!
//! **What.** A prompt in the simulated cluster: it walks through a scenario step by step, forwards and backwards, and
//! answers the questions that one asks on a real cluster's Pods and nodes. **Why.** One learns by looking around.
//! **Source of the semantics.** Answers are those of kubectl and of the programs that the modules name.
//!
//! Whatever is done by hand happens to the cluster as it is and stays as one goes on. To go back is to replay the
//! scenario itself from its start, so it is gone then. An instant may lie in the midst of a wait: the step after it then
//! begins as if that wait had ended there.
//!
//! Commands come from standard input, one a line; at a terminal with a history, and completed by the tab key. Where that is no terminal they are repeated in the output, which
//! then reads like a session.

mod command;
mod filter;
mod generate;
mod kubectl;
mod on_node;
mod ping;
mod session;
mod sniff;
mod strategic;
mod tools;
mod typing;
mod words;

use std::io::{self, BufRead as _, IsTerminal as _};

use miette::Report;

use self::command::{Line, Order};
use self::filter::Filter;
use self::session::Session;
use self::typing::Terminal;
use crate::args::StepArgs;
use crate::{Exit, input, output};

/// The most bytes of a line: what is longer was not typed.
const LINE_MAX: usize = 64 * 1024;

/// Answers commands until there are no more.
pub(crate) fn run(args: &StepArgs) -> Result<Exit, Report> {
    let scenario = input::one(&args.file, args.scenario.as_deref())?;
    let mode = args.mode.unwrap_or(scenario.modes[0]);
    let mut session = Session::begin(scenario, mode)?;
    output::print(&session.welcome())?;
    let mut terminal = match io::stdin().is_terminal() {
        true => Some(Terminal::open()?),
        false => None,
    };
    loop {
        let prompt = session.prompt();
        let line = match &mut terminal {
            Some(terminal) => terminal.next_line(&prompt, session.words())?,
            None => next_line()?,
        };
        let Some(line) = line else {
            return Ok(Exit::Passed);
        };
        let line = line.trim();
        if terminal.is_none() && !line.is_empty() {
            output::print(&format!("{prompt}{line}\n"))?;
        }
        match Line::parse(line) {
            Line::Nothing => {}
            Line::Order(Order::Quit, _) => return Ok(Exit::Passed),
            Line::Order(order, filters) => {
                let answer = session.obey(order).and_then(|answer| {
                    let through = |text: String, filter: &Filter| filter.through(&text);
                    filters.iter().try_fold(answer, through)
                });
                output::print(&ended(answer.unwrap_or_else(|why| why)))?;
            }
            Line::Said(text) => output::print(&ended(text))?,
        }
    }
}

/// The next line of what is no terminal, or `None` when there is none.
fn next_line() -> Result<Option<String>, Report> {
    let cannot = |why: io::Error| input::error(format!("cannot read commands: {why}"), None);
    let mut bytes = Vec::new();
    let mut stdin = io::stdin().lock();
    let mut start = io::Read::take(&mut stdin, LINE_MAX as u64);
    match start.read_until(b'\n', &mut bytes).map_err(cannot)? {
        0 => Ok(None),
        LINE_MAX => Err(input::error("a line of commands is too long", None)),
        _ => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
    }
}

/// A text that ends its last line.
fn ended(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
