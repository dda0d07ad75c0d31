use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::Timestamp;

/// How the export stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportStatus {
    /// When the backend took something last.
    pub last_success: Option<Timestamp>,
    /// What went wrong last, and when.
    pub last_problem: Option<(String, Timestamp)>,
    /// Nothing was taken since the last problem.
    pub is_failing: bool,
    /// Spans since the start: taken, refused by the backend, and gone from the store before they could be sent.
    pub sent: u64,
    pub refused: u64,
    pub given_up: u64,
    /// Traces of which something is not exported yet.
    pub waiting: u64,
}

/// The status of the export, for Status. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ExportBoard(Arc<Mutex<ExportStatus>>);

impl ExportBoard {
    pub fn status(&self) -> ExportStatus {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut ExportStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
