//! A backend that is sent requests by either protocol of OTLP, and what its answers mean (OTLP 1.10).

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};

use super::grpc::GrpcClient;
use super::http::HttpClient;
use crate::config::{ExportProtocol, TraceExportConfig};

/// A backend that takes longer has not taken it. Shorter than what a stop waits.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// A longer text of a backend is cut.
const LONGEST_PROBLEM: usize = 300;

/// What the backend did with a request that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Spans that it left out.
    pub(super) rejected: u64,
    /// What it says to that, or a warning; empty if nothing.
    pub(super) message: String,
}

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may be taken later, after so long if the backend says.
    Later {
        problem: String,
        wait: Option<Duration>,
    },
    /// It never will be.
    Refused { problem: String },
}

pub(super) enum Client {
    Grpc(GrpcClient),
    Http(HttpClient),
}

impl Client {
    /// Reads the authorities of `ca_file`; connects when something is sent.
    pub(super) async fn new(config: &TraceExportConfig) -> Result<Self, Failure> {
        let later = |problem| Failure::Later {
            problem,
            wait: None,
        };
        let authorities = match &config.ca_file {
            None => None,
            Some(path) => Some(tokio::fs::read(path).await.map_err(|error| {
                let path = path.display();
                later(format!(
                    "traces.export.ca_file {path} cannot be read: {error}"
                ))
            })?),
        };
        let client = match config.protocol {
            ExportProtocol::Grpc => GrpcClient::new(config, authorities).map(Self::Grpc),
            ExportProtocol::Http => HttpClient::new(config, authorities).map(Self::Http),
        };
        client.map_err(later)
    }

    pub(super) async fn send(
        &mut self,
        request: ExportTraceServiceRequest,
    ) -> Result<Taken, Failure> {
        match self {
            Self::Grpc(client) => client.send(request).await,
            Self::Http(client) => client.send(request).await,
        }
    }
}

impl Taken {
    pub(super) fn of(answer: ExportTraceServiceResponse) -> Self {
        let partial = answer.partial_success.unwrap_or_default();
        Self {
            rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
            message: short(&partial.error_message),
        }
    }
}

/// A text of the backend as it can be shown.
pub(super) fn short(text: &str) -> String {
    let text = text.trim();
    let end = text.floor_char_boundary(LONGEST_PROBLEM);
    let shown = text[..end].chars();
    shown
        .map(|each| if each.is_control() { ' ' } else { each })
        .collect()
}
