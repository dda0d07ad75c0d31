//! How large the body of a request may be, so that the refusal of a larger one can say it.

use axum::Extension;
use axum::extract::DefaultBodyLimit;
use axum::http::{Extensions, StatusCode};

use super::problem::Problem;

const MEBIBYTE: usize = 1024 * 1024;

/// What a route takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLimit {
    /// Of every request but an edit or an import.
    Usual,
    /// An edited message. A payload of 10 MiB fits, with each byte written as the three characters that a form
    /// needs for some.
    Edit,
}

impl BodyLimit {
    const fn bytes(self) -> usize {
        match self {
            Self::Usual => 2 * MEBIBYTE,
            Self::Edit => 48 * MEBIBYTE,
        }
    }

    /// Sets the limit for the routes inside.
    pub(crate) fn layer(self) -> (DefaultBodyLimit, Extension<Self>) {
        (DefaultBodyLimit::max(self.bytes()), Extension(self))
    }

    /// The limit of the route that a request came to.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self::Usual)
    }

    /// What is said to who sent more.
    pub(crate) fn exceeded(self, title: &'static str) -> Problem {
        let remedy = match self {
            Self::Usual => "go back and shorten it",
            Self::Edit => {
                "write the payload into a file and send that, of at most 35 MiB, by redrive dead-letters edit ID \
                 --payload FILE"
            }
        };
        let limit = self.bytes() / MEBIBYTE;
        let detail = format!("it has more than {limit} MiB, and nothing was saved; {remedy}");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, title, detail)
    }
}
