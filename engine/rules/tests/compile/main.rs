//! The compiler from views to text: against recordings, against the real tool, and for all inputs.

mod plan;
mod printed;
mod properties;
mod recorded;
mod restore_tool;
mod support;
