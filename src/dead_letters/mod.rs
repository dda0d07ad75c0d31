//! Dead letters from the moment they are read: who they are, and which failures are the same.

mod classify;
mod identity;
mod parameterise;

pub use classify::classify;
pub use identity::event_identity;
