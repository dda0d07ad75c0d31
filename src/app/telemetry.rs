//! Redrive's own logs and spans.

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::cli::visible;
use crate::config::{Config, LogConfig, LogFormat};

/// What the exporter itself says goes to standard error alone: an export that logs would never end.
const NOT_EXPORTED: [&str; 5] = [
    "opentelemetry=off",
    "tonic=off",
    "hyper=off",
    "h2=off",
    "tower=off",
];

/// Holds the exporters until the process ends.
pub struct Telemetry {
    otlp: Option<Otlp>,
}

/// Where `telemetry.otlp_endpoint` is set: spans, and the same log as on standard error.
struct Otlp {
    spans: SdkTracerProvider,
    logs: SdkLoggerProvider,
}

impl Telemetry {
    /// Sends what is left. A backend that does not answer is given up after the exporter's timeout.
    pub fn shut_down(self) {
        let Some(Otlp { spans, logs }) = self.otlp else {
            return;
        };
        for (what, ended) in [("spans", spans.shutdown()), ("logs", logs.shutdown())] {
            if let Err(error) = ended {
                tracing::warn!(%error, "the last {what} could not be sent to telemetry.otlp_endpoint");
            }
        }
    }
}

/// Starts logging to standard error, and the export of spans and logs if `telemetry.otlp_endpoint` is set.
pub fn start(config: &Config) -> anyhow::Result<Telemetry> {
    let log: Box<dyn Layer<Registry> + Send + Sync> = match config.log.format {
        LogFormat::Human => fmt::layer()
            .fmt_fields(visible_fields())
            .with_writer(std::io::stderr)
            .with_filter(log_filter(&config.log)?)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .with_writer(std::io::stderr)
            .with_filter(log_filter(&config.log)?)
            .boxed(),
    };
    let endpoint = config.telemetry.otlp_endpoint.as_deref();
    let otlp = endpoint.map(Otlp::to).transpose()?;
    // Of events it lets through what the log does. Where filters disagree on what the crate `log` asks for and then
    // does not say (rdkafka does before it makes a client), the next span of the thread would be lost.
    let ours = filter_fn(|of| of.is_event() || of.target().starts_with("redrive"));
    let spans_and_log = log_filter(&config.log)?.or(EnvFilter::new("redrive=info"));
    let spans = otlp.as_ref().map(|otlp| {
        tracing_opentelemetry::layer()
            .with_tracer(otlp.spans.tracer("redrive"))
            .with_filter(spans_and_log.and(ours))
    });
    let exported = exported_filter(&config.log)?;
    let logs = otlp
        .as_ref()
        .map(|otlp| OpenTelemetryTracingBridge::new(&otlp.logs).with_filter(exported));
    tracing_subscriber::registry()
        .with(log)
        .with(spans)
        .with(logs)
        .init();
    Ok(Telemetry { otlp })
}

fn log_filter(log: &LogConfig) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&log.level)
        .with_context(|| format!("log.level {:?} is no level or filter", log.level))
}

fn exported_filter(log: &LogConfig) -> anyhow::Result<EnvFilter> {
    let mut filter = log_filter(log)?;
    for directive in NOT_EXPORTED {
        filter = filter.add_directive(directive.parse()?);
    }
    Ok(filter)
}

/// Messages and fields with everything spelled out that would act in a terminal: names and errors come from
/// brokers.
fn visible_fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    let fields = debug_fn(|writer, field, value| {
        let value = visible(&format!("{value:?}"));
        match field.name() {
            "message" => write!(writer, "{value}"),
            name => write!(writer, "{name}={value}"),
        }
    });
    fields.delimited(" ")
}

impl Otlp {
    fn to(endpoint: &str) -> anyhow::Result<Self> {
        let unusable = || format!("telemetry.otlp_endpoint {endpoint:?} cannot be used");
        let spans = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .with_context(unusable)?;
        let logs = opentelemetry_otlp::LogExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .with_context(unusable)?;
        let resource = Resource::builder().with_service_name("redrive").build();
        Ok(Self {
            spans: SdkTracerProvider::builder()
                .with_batch_exporter(spans)
                .with_resource(resource.clone())
                .build(),
            logs: SdkLoggerProvider::builder()
                .with_batch_exporter(logs)
                .with_resource(resource)
                .build(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use super::*;

    #[test]
    fn nothing_that_a_broker_says_acts_in_a_log() {
        let mut file = tempfile::tempfile().unwrap();
        let writer = file.try_clone().unwrap();
        let layer = fmt::layer()
            .fmt_fields(visible_fields())
            .with_ansi(false)
            .with_writer(move || writer.try_clone().unwrap());
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            let queue = "a\u{1b}[31m\u{202e}\nb";
            tracing::warn!(%queue, count = 3, "taking from {queue} failed");
        });
        let mut log = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut log).unwrap();
        let name = "a\\u{1b}[31m\\u{202e}\\u{a}b";
        assert!(
            log.ends_with(&format!("taking from {name} failed queue={name} count=3\n")),
            "{log}"
        );
    }
}
