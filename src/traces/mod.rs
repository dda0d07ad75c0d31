//! Traces from the headers that events already carry: what was published because of what, where it died, who
//! replayed it.
//!
//! `tap` follows the topics of `[traces]` as an ordinary consumer group and keeps of each event only its
//! identity, its time and its place. `stitch` makes a trace of all that has one correlation ID; it is pure,
//! and dead letters and replays of both brokers come into it from the store. The time, a correlation ID and a
//! body are whatever a producer wrote: nothing is proven by them, so each link names its evidence.

mod export;
mod handovers;
mod keeper;
mod load;
mod stitch;
mod tap;

pub use export::{ExportBoard, ExportStatus, Exporter, TraceId};
pub use load::load;
pub use stitch::{Cause, MOST_STEPS, Node, Repeat, Step, Trace, stitch};
pub use tap::tasks;
