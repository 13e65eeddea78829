//! Time and seeds: the two things that every other crate takes as an argument.
//!
//! **What.** [`SimTime`] is an instant on the virtual clock, [`Seed`] the root of all randomness.
//! **Why.** Nothing in the core may read a wall clock or ask the operating system for entropy, so that the
//! same scenario with the same seed gives the same bytes on every machine. Both types stand in a crate of
//! their own because `api`, `netfilter` and `plane` all need them and none of these may depend on another.
//!
//! ```
//! use switchboard_base::{Seed, SimTime};
//! use std::time::Duration;
//!
//! let at = SimTime::ZERO + Duration::from_millis(1_005);
//! assert_eq!(at.to_string(), "1.005s");
//! let mut ports = Seed::new(7).split("client-ports");
//! let mut again = Seed::new(7).split("client-ports");
//! assert_eq!(ports.below(1000), again.below(1000));
//! ```

mod duration;
mod seed;
mod time;

pub use duration::{DurationError, format_duration, parse_duration};
pub use seed::{Rng, Seed};
pub use time::SimTime;
