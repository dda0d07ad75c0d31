//! Traces from the headers that events already carry: what was published because of what, where it died, who
//! replayed it.
//!
//! `tap` follows the topics of `[traces]` as an ordinary consumer group and keeps of each event only its
//! identity, its time and its place. `stitch` makes a trace of all that has one correlation ID; it is pure,
//! and dead letters and replays of both brokers come into it from the store. The time, a correlation ID and a
//! body are whatever a producer wrote: nothing is proven by them, so each link names its evidence.

/// Services and what they react to: more are not remembered, and no cause is inferred by them.
const MOST_HANDOVERS: usize = 1_000;

mod flow;
mod handovers;
mod keeper;
mod load;
mod repeats;
mod stitch;
mod tap;

pub use flow::{FlowEdge, FlowGraph, FlowKind, FlowMeasure, FlowNode, OwnNames, flow_graph};
pub use load::load;
pub use repeats::{RepeatCounts, RepeatedEvent, Repeats, SourceRepeats, repeats};
pub use stitch::{Cause, MOST_STEPS, Node, Repeat, Step, Trace, stitch};
pub use tap::{tasks, traced_event};
