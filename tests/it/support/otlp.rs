//! A backend of OTLP for traces, by gRPC and http/protobuf at one address, that keeps what it gets and answers as a test
//! wants it to.

use std::io::Read as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Status};

/// What it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Take,
    /// An empty answer, as some backends give it over HTTP.
    TakeSilently,
    LeaveOut(i64, &'static str),
    ComeLater,
    Refuse(&'static str),
}

/// A span with the service of its resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SentSpan {
    pub(crate) service: String,
    pub(crate) host: String,
    pub(crate) span: Span,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    /// With those that were not taken.
    requests: usize,
    headers: Vec<HeaderMap>,
    spans: Vec<SentSpan>,
}

#[derive(Clone)]
pub(crate) struct OtlpReceiver {
    pub(crate) address: String,
    kept: Arc<Mutex<Kept>>,
}

impl OtlpReceiver {
    pub(crate) async fn start(answer: Answer) -> Self {
        Self::start_at("127.0.0.1:0", answer).await
    }

    pub(crate) async fn start_at(address: &str, answer: Answer) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let kept = Kept {
            answer,
            requests: 0,
            headers: Vec::new(),
            spans: Vec::new(),
        };
        let receiver = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            kept: Arc::new(Mutex::new(kept)),
        };
        let grpc =
            TraceServiceServer::new(receiver.clone()).accept_compressed(CompressionEncoding::Gzip);
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(receiver.clone())
            .route_service(
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                grpc,
            );
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.kept.lock().unwrap().answer = answer;
    }

    pub(crate) fn requests(&self) -> usize {
        self.kept.lock().unwrap().requests
    }

    /// The headers of the requests that were taken.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.kept.lock().unwrap().headers.clone()
    }

    /// The spans of the requests that were taken.
    pub(crate) fn spans(&self) -> Vec<SentSpan> {
        self.kept.lock().unwrap().spans.clone()
    }

    fn receive(&self, headers: &HeaderMap, request: ExportTraceServiceRequest) -> Answer {
        let mut kept = self.kept.lock().unwrap();
        kept.requests += 1;
        if matches!(kept.answer, Answer::ComeLater | Answer::Refuse(_)) {
            return kept.answer;
        }
        kept.headers.push(headers.clone());
        for of in request.resource_spans {
            let resource = of.resource.unwrap_or_default().attributes;
            let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.spans.extend(spans.map(|span| SentSpan {
                service: text(&resource, "service.name"),
                host: text(&resource, "host.name"),
                span,
            }));
        }
        kept.answer
    }
}

/// The text of an attribute; empty if it is not there.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> String {
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    let value = attribute.and_then(|attribute| attribute.value.clone());
    match value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => text,
        _ => String::new(),
    }
}

fn left_out(rejected_spans: i64, message: &str) -> ExportTraceServiceResponse {
    ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: message.to_owned(),
        }),
    }
}

#[tonic::async_trait]
impl TraceService for OtlpReceiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let answer = match self.receive(&metadata.into_headers(), request) {
            Answer::Take | Answer::TakeSilently => ExportTraceServiceResponse::default(),
            Answer::LeaveOut(spans, message) => left_out(spans, message),
            Answer::ComeLater => return Err(Status::unavailable("not now")),
            Answer::Refuse(why) => return Err(Status::invalid_argument(why)),
        };
        Ok(tonic::Response::new(answer))
    }
}

async fn take(State(receiver): State<OtlpReceiver>, headers: HeaderMap, body: Bytes) -> Response {
    let mut plain = Vec::new();
    if headers
        .get("content-encoding")
        .is_some_and(|how| how == "gzip")
    {
        GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
    } else {
        plain = body.to_vec();
    }
    let request = ExportTraceServiceRequest::decode(&plain[..]).unwrap();
    let answer = match receiver.receive(&headers, request) {
        Answer::Take => ExportTraceServiceResponse::default(),
        Answer::TakeSilently => return StatusCode::ACCEPTED.into_response(),
        Answer::LeaveOut(spans, message) => left_out(spans, message),
        Answer::ComeLater => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Answer::Refuse(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    let kind = [("content-type", "application/x-protobuf")];
    (kind, answer.encode_to_vec()).into_response()
}
