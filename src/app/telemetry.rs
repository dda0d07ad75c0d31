//! Redrive's own logs and spans.

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::cli::visible;
use crate::config::{Config, LogFormat};

/// Holds the exporter until the process ends.
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what is left. A backend that does not answer is given up after the exporter's timeout.
    pub fn shut_down(self) {
        if let Some(Err(error)) = self.provider.map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last spans could not be sent to telemetry.otlp_endpoint");
        }
    }
}

/// Starts logging to standard error, and the export of spans if `telemetry.otlp_endpoint` is set.
pub fn start(config: &Config) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(&config.log.level)
        .with_context(|| format!("log.level {:?} is no level or filter", config.log.level))?;
    let log: Box<dyn Layer<Registry> + Send + Sync> = match config.log.format {
        LogFormat::Human => fmt::layer()
            .fmt_fields(visible_fields())
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
    };
    let provider = config
        .telemetry
        .otlp_endpoint
        .as_deref()
        .map(exporter)
        .transpose()?;
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("redrive"))
            .with_filter(EnvFilter::new("redrive=info"))
    });
    tracing_subscriber::registry().with(log).with(spans).init();
    Ok(Telemetry { provider })
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

fn exporter(endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("telemetry.otlp_endpoint {endpoint:?} cannot be used"))?;
    let resource = Resource::builder().with_service_name("redrive").build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
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
