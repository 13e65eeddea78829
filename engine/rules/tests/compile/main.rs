//! The compiler from views to text: against recordings, against the real tools, and for all inputs.

mod external;
mod generate;
mod ipvs;
mod plan;
mod printed;
mod properties;
mod recorded;
mod restore_tool;
mod support;
mod well_formed;
