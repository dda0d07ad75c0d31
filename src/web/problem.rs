//! What went wrong with a request, once for pages and for the API: pages show it in the frame, the API
//! answers problem+json (RFC 9457). The middleware in `visit` decides which.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::dead_letters::LookError;
use crate::store::StoreError;

/// A refusal or failure in words that name the thing and the remedy.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title,
            detail: detail.into(),
        }
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", detail)
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "The request is not understood",
            detail,
        )
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Not possible now", detail)
    }

    /// Whether the request was understood and only does not fit how things are now.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status == StatusCode::CONFLICT
    }

    /// Logs the cause, which may hold what is nobody's business, and tells only where to look.
    pub(crate) fn internal(what: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %crate::error_chain(error), "{what}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Redrive failed",
            format!("{what}; Redrive's log has the cause"),
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let text = format!("{}: {}\n", self.title, self.detail);
        let mut response = (self.status, text).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSuchDeadLetter(_)
            | StoreError::NoSuchRevision { .. }
            | StoreError::NoSuchFailureGroup(_)
            | StoreError::NoSuchBulkAction(_)
            | StoreError::NoSuchSavedFilter(_)
            | StoreError::NoSuchRepair(_)
            | StoreError::NoSuchReplay(_) => Self::not_found(error.to_string()),
            StoreError::RevisionConflict { .. }
            | StoreError::IllegalTransition(_)
            | StoreError::TooManySavedFilters(_)
            | StoreError::JobPaused(_) => Self::conflict(error.to_string()),
            StoreError::BadCursor(_) => Self::bad_request(error.to_string()),
            other => Self::internal("the store failed", &other),
        }
    }
}

impl From<LookError> for Problem {
    fn from(error: LookError) -> Self {
        match error {
            LookError::NoSuchCluster(_) | LookError::NoSuchQueue(_) => {
                Self::not_found(error.to_string())
            }
            LookError::TooMany => Self::bad_request(error.to_string()),
            LookError::Stopping => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Redrive is stopping",
                error.to_string(),
            ),
            LookError::Refused { .. } | LookError::NotTaken { .. } => {
                Self::conflict(error.to_string())
            }
            LookError::Store(error) => error.into(),
            LookError::RabbitMq(_) | LookError::Management(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "RabbitMQ did not play along",
                crate::error_chain(&error),
            ),
        }
    }
}

impl From<askama::Error> for Problem {
    fn from(error: askama::Error) -> Self {
        Self::internal("a page could not be written", &error)
    }
}
