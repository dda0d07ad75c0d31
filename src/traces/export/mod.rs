//! Sends stitched traces to an OpenTelemetry backend by OTLP.
//!
//! `exporter` reads what is new in the store (`news`), waits until a trace is quiet (`waiting`), and has the spans sent that
//! were not sent yet (`sender`, by `grpc` or `http`). What the spans of a trace are is pure: `ids` names them, `new_spans`
//! chooses and connects them, `describe` writes them. A request is the built protobuf and not the SDK's, which
//! knows one service in a process and gives spans IDs of its own.
//!
//! The store has every span that was sent (`exported_spans`, for `traces.max_age`), committed after the answer. So a crash
//! may send a span twice, with the same ID and the same content, and an orderly stop none. While the backend is
//! away, what is new waits in the store; memory has one request and the correlation IDs of some traces.

mod attributes;
mod backoff;
mod batch;
mod board;
mod client;
mod describe;
mod exporter;
mod grpc;
mod http;
mod ids;
mod new_spans;
mod news;
mod request;
mod sample;
mod sender;
mod waiting;

pub use board::{ExportBoard, ExportStatus};
pub use exporter::Exporter;
pub use ids::TraceId;
