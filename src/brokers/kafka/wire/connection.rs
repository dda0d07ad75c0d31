use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, RequestHeader};
use kafka_protocol::protocol::{Encodable, StrBytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::answers;
use super::error::{WireError, error_text};

/// No answer of a sample is larger: 100,000 partitions take about 4 MiB.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// Read in steps, so that a size that the peer only claims is never allocated.
const READ_STEP: usize = 256 * 1024;

const CLIENT_ID: &str = "redrive-sampler";

/// The first version of `ApiVersions` with flexible fields (Kafka 2.4).
const API_VERSIONS_VERSION: i16 = 3;

/// One connection to one broker, used by one request at a time.
#[derive(Debug)]
pub(super) struct Connection {
    broker: String,
    stream: TcpStream,
    timeout: Duration,
    next_correlation_id: i32,
    versions: HashMap<i16, (i16, i16)>,
    requests: Vec<&'static str>,
}

impl Connection {
    pub(super) async fn open(broker: &str, timeout: Duration) -> Result<Self, WireError> {
        let connecting = TcpStream::connect(broker);
        let stream = match tokio::time::timeout(timeout, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => {
                return Err(WireError::Connect {
                    broker: broker.to_owned(),
                    source,
                });
            }
            Err(_) => {
                return Err(WireError::Timeout {
                    broker: broker.to_owned(),
                    api: "connect",
                    timeout,
                });
            }
        };
        // Small requests must not wait for more bytes; a failure costs latency only.
        stream.set_nodelay(true).ok();
        let mut connection = Self {
            broker: broker.to_owned(),
            stream,
            timeout,
            next_correlation_id: 0,
            versions: HashMap::new(),
            requests: Vec::new(),
        };
        connection.negotiate().await?;
        Ok(connection)
    }

    async fn negotiate(&mut self) -> Result<(), WireError> {
        let name = StrBytes::from_static_str("redrive");
        let request = ApiVersionsRequest::default()
            .with_client_software_name(name)
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let api = "ApiVersions";
        let body = self
            .call(ApiKey::ApiVersions, API_VERSIONS_VERSION, api, &request)
            .await?;
        let (code, ranges) =
            answers::api_versions(&body).map_err(|source| self.garbage(api, source))?;
        if code != 0 {
            return Err(self.refused(api, code));
        }
        self.versions = ranges
            .into_iter()
            .map(|range| (range.api_key, (range.min, range.max)))
            .collect();
        Ok(())
    }

    /// The newest version that both sides know, or `None` if there is none.
    pub(super) fn version(&self, key: ApiKey, (ours_min, ours_max): (i16, i16)) -> Option<i16> {
        let (min, max) = *self.versions.get(&(key as i16))?;
        let version = max.min(ours_max);
        (version >= min.max(ours_min)).then_some(version)
    }

    /// The same where the sample cannot do without.
    pub(super) fn required_version(
        &self,
        key: ApiKey,
        ours: (i16, i16),
        api: &'static str,
    ) -> Result<i16, WireError> {
        self.version(key, ours).ok_or_else(|| WireError::TooOld {
            broker: self.broker.clone(),
            api,
            max: self.versions.get(&(key as i16)).map_or(-1, |(_, max)| *max),
            needed: ours.0,
        })
    }

    /// Sends a request and reads the body of its answer.
    pub(super) async fn call<R: Encodable>(
        &mut self,
        key: ApiKey,
        version: i16,
        api: &'static str,
        request: &R,
    ) -> Result<Bytes, WireError> {
        self.requests.push(api);
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = correlation_id.wrapping_add(1);
        let frame = encode(key, version, correlation_id, request)?;
        let (broker, timeout) = (self.broker.clone(), self.timeout);
        let exchange = self.exchange(&frame, api);
        let answer = within(timeout, exchange, || WireError::Timeout {
            broker,
            api,
            timeout,
        })
        .await?;
        self.body_of(
            &answer,
            key.response_header_version(version),
            correlation_id,
            api,
        )
    }

    async fn exchange(&mut self, frame: &[u8], api: &'static str) -> Result<Bytes, WireError> {
        let broker = self.broker.clone();
        let io = |source| WireError::Io {
            broker: broker.clone(),
            api,
            source,
        };
        self.stream.write_all(frame).await.map_err(io)?;
        let size = self.stream.read_i32().await.map_err(io)?;
        let limit = ANSWER_LIMIT;
        let length = usize::try_from(size).ok().filter(|length| *length <= limit);
        let Some(length) = length else {
            return Err(WireError::AnswerTooLarge {
                broker,
                api,
                size: size.into(),
                limit,
            });
        };
        let mut answer = BytesMut::new();
        while answer.len() < length {
            let start = answer.len();
            answer.resize(length.min(start + READ_STEP), 0);
            self.stream
                .read_exact(&mut answer[start..])
                .await
                .map_err(io)?;
        }
        Ok(answer.freeze())
    }

    fn body_of(
        &self,
        answer: &Bytes,
        header_version: i16,
        correlation_id: i32,
        api: &'static str,
    ) -> Result<Bytes, WireError> {
        let mut header = super::reader::Reader::new(answer);
        let garbage = |source| self.garbage(api, source);
        let answered = header.i32().map_err(garbage)?;
        if answered != correlation_id {
            return Err(garbage(super::reader::DecodeError::AnotherRequest));
        }
        if header_version >= 1 {
            header.tags().map_err(garbage)?;
        }
        let header_length = answer.len() - header.remaining();
        Ok(answer.slice(header_length..))
    }

    pub(super) fn garbage(
        &self,
        api: &'static str,
        source: super::reader::DecodeError,
    ) -> WireError {
        WireError::Decode {
            broker: self.broker.clone(),
            api,
            source,
        }
    }

    pub(super) fn refused(&self, api: &'static str, code: i16) -> WireError {
        WireError::Refused {
            broker: self.broker.clone(),
            api,
            reason: error_text(code),
        }
    }

    /// The requests since the last call, by name.
    pub(super) fn take_requests(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.requests)
    }
}

fn encode<R: Encodable>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    request: &R,
) -> Result<Bytes, WireError> {
    let mut frame = BytesMut::with_capacity(1024);
    frame.put_i32(0);
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    let failed = |error: anyhow::Error| WireError::Encode(format!("{key:?} v{version}: {error}"));
    header
        .encode(&mut frame, key.request_header_version(version))
        .map_err(failed)?;
    request.encode(&mut frame, version).map_err(failed)?;
    let length = i32::try_from(frame.len() - 4)
        .map_err(|_| WireError::Encode(format!("{key:?} of {} bytes is too long", frame.len())))?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, WireError>>,
    late: impl FnOnce() -> WireError,
) -> Result<T, WireError> {
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or_else(|_| Err(late()))
}
