//! Traces from the headers that events already carry: what was published because of what, where it died, who
//! replayed it.
//!
//! `kafka_tap` follows the topics of `[traces]` as an ordinary consumer group, `rabbitmq_tap` its exchanges
//! through a queue of its own, for which `rabbitmq_tap/binding_plan` says what is bound. They keep of each event only its
//! identity, its time and its place, and where events are missing the time of the gap. `stitch` makes a trace of
//! all that has one correlation ID; it is pure, and dead letters and replays of both brokers come into it from
//! the store. The time, a correlation ID and a body are whatever a producer wrote: nothing is proven by them, so
//! each link names its evidence.

use std::time::Duration;

/// A time that lies further in the future is no time.
const LONGEST_AHEAD: Duration = Duration::from_hours(24);

/// Services and what they react to: more are not remembered, and no cause is inferred by them.
const MOST_HANDOVERS: usize = 1_000;

mod export;
mod flow;
mod handovers;
mod kafka_tap;
mod keeper;
mod load;
mod pressure;
mod rabbitmq_tap;
mod repeats;
mod stitch;
mod tap_board;
mod tasks;

pub use export::{ExportBoard, ExportStatus, Exporter, TraceId};
pub use flow::{FlowEdge, FlowGraph, FlowKind, FlowMeasure, FlowNode, OwnNames, flow_graph};
pub use kafka_tap::traced_event;
pub use load::load;
pub use repeats::{RepeatCounts, RepeatedEvent, Repeats, SourceRepeats, repeats};
pub use stitch::{Cause, MOST_STEPS, Node, Repeat, Step, Trace, stitch};
pub use tap_board::{TapBoard, TapState, TapStatus};
pub use tasks::{TapContext, tasks};
