//! The way back: sends dead letters again, once, and says what became of each.
//!
//! [`request`] is what people ask and are told.

mod request;

pub use request::{
    Actor, Audience, Decision, DestinationChoice, JobStarted, MOST_EVENTS_OF_A_JOB, Preflight,
    PreflightEvent, Recipient, Refusal, RefusalKind, ReplayError, ReplayRequest, RevisionChoice,
    Selection,
};
