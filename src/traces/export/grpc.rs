use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::client::{Failure, TIMEOUT, Taken, short};
use crate::config::TraceExportConfig;

/// What an answer may hold: some numbers and a text.
const ANSWER_LIMIT: usize = 64 * 1024;

/// How the generated client begins what it says if it has no connection.
const NOT_READY: &str = "Service was not ready";

pub(super) struct GrpcClient {
    service: TraceServiceClient<Channel>,
    headers: MetadataMap,
}

impl GrpcClient {
    pub(super) fn new(
        config: &TraceExportConfig,
        authorities: Option<Vec<u8>>,
    ) -> Result<Self, String> {
        let unusable = |error: tonic::transport::Error| crate::error_chain(&error);
        let url = config.url().ok_or("traces.export.endpoint is missing")?;
        let is_tls = url.scheme() == "https";
        let mut endpoint = Endpoint::from_shared(String::from(url))
            .map_err(unusable)?
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT);
        if is_tls {
            let tls = ClientTlsConfig::new();
            let tls = match authorities {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls.with_native_roots(),
            };
            endpoint = endpoint.tls_config(tls).map_err(unusable)?;
        }
        let mut service = TraceServiceClient::new(endpoint.connect_lazy())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(ANSWER_LIMIT);
        if config.gzip {
            service = service.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self {
            service,
            headers: MetadataMap::from_headers(config.header_map()),
        })
    }

    pub(super) async fn send(
        &mut self,
        request: ExportTraceServiceRequest,
    ) -> Result<Taken, Failure> {
        let mut request = Request::new(request);
        *request.metadata_mut() = self.headers.clone();
        match self.service.export(request).await {
            Ok(answer) => Ok(Taken::of(answer.into_inner())),
            Err(status) => Err(judge(&status)),
        }
    }
}

fn judge(status: &Status) -> Failure {
    let retry = status.get_details_retry_info();
    let wait = retry.and_then(|retry| retry.retry_delay);
    // What has a source did not come from the backend: the connection failed, now or before.
    let source = std::error::Error::source(status);
    let is_local = source.is_some() || status.message().starts_with(NOT_READY);
    let problem = match source {
        Some(source) => short(&crate::error_chain(source)),
        None => format!(
            "it answered {:?}: {}",
            status.code(),
            short(status.message())
        ),
    };
    if is_local || is_retryable(status.code(), wait) {
        Failure::Later { problem, wait }
    } else {
        Failure::Refused { problem }
    }
}

/// The codes that OTLP names as retryable.
const fn is_retryable(code: Code, wait: Option<Duration>) -> bool {
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // Only a backend that says when can recover from it.
        Code::ResourceExhausted => wait.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_code_says_whether_to_try_again() {
        let later = [1, 4, 10, 11, 14, 15].map(Code::from_i32);
        for code in (0..=16).map(Code::from_i32) {
            let failure = judge(&Status::new(code, "why"));
            let is_later = matches!(failure, Failure::Later { wait: None, .. });
            assert_eq!(is_later, later.contains(&code), "{failure:?}");
        }
    }

    #[test]
    fn a_connection_that_failed_is_no_refusal() {
        let check = |status: Status| {
            let failure = judge(&status);
            assert!(matches!(failure, Failure::Later { .. }), "{failure:?}");
        };
        check(Status::unknown("Service was not ready: gone"));
        check(Status::from_error(Box::new(std::io::Error::other("reset"))));
    }

    #[test]
    fn a_backend_says_how_long_to_wait() {
        let wait = Duration::from_secs(7);
        let details = ErrorDetails::with_retry_info(Some(wait));
        let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
        let expected = Failure::Later {
            problem: "it answered ResourceExhausted: full".to_owned(),
            wait: Some(wait),
        };
        assert_eq!(judge(&status), expected);
    }
}
