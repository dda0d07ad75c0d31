use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, RequestHeader};
use kafka_protocol::protocol::{Encodable, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::access::Access;
use super::error::{WireError, error_text};
use super::{answers, tls};

/// No answer of a sample is larger: 100,000 partitions take about 4 MiB.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// Read in steps, so that a size that the peer only claims is never allocated.
const READ_STEP: usize = 256 * 1024;

const CLIENT_ID: &str = "redrive-sampler";

/// The first version of `ApiVersions` with flexible fields (Kafka 2.4).
const API_VERSIONS_VERSION: i16 = 3;

/// How the first record of a TLS server begins that was sent something else: an alert of TLS 1.x.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// A session that ends sooner is not used any more, so that no request is cut off.
const SESSION_MARGIN: Duration = Duration::from_secs(10);

/// What requests travel on: TCP, or TLS over it.
trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug> Transport for T {}

/// One connection to one broker, used by one request at a time.
#[derive(Debug)]
pub(super) struct Connection {
    broker: String,
    stream: Box<dyn Transport>,
    /// A broker that limits sessions closes the connection then.
    session_ends: Option<Instant>,
    has_answered: bool,
    timeout: Duration,
    next_correlation_id: i32,
    versions: HashMap<i16, (i16, i16)>,
    requests: Vec<&'static str>,
}

impl Connection {
    /// Connects, shakes hands, agrees on versions and logs in, each within `timeout`.
    pub(super) async fn open(
        broker: &str,
        access: &Access,
        timeout: Duration,
    ) -> Result<Self, WireError> {
        let mut connection = Self {
            broker: broker.to_owned(),
            stream: transport(broker, access, timeout).await?,
            session_ends: None,
            has_answered: false,
            timeout,
            next_correlation_id: 0,
            versions: HashMap::new(),
            requests: Vec::new(),
        };
        connection.negotiate().await?;
        if let Some(login) = &access.login {
            login.log_in(&mut connection).await?;
        }
        // Without a login, a broker that wants one answers up to here.
        connection.has_answered = access.login.is_some();
        Ok(connection)
    }

    pub(super) fn broker(&self) -> &str {
        &self.broker
    }

    /// Notes for how long the broker keeps the session; 0 is without a limit.
    pub(super) fn limit_session(&mut self, lifetime_ms: i64) {
        let lifetime = u64::try_from(lifetime_ms).ok().filter(|millis| *millis > 0);
        let ends =
            lifetime.and_then(|millis| Instant::now().checked_add(Duration::from_millis(millis)));
        self.session_ends = ends;
    }

    /// Whether the session lasts for another sample.
    pub(super) fn is_usable(&self) -> bool {
        let margin = Instant::now() + SESSION_MARGIN;
        self.session_ends.is_none_or(|ends| ends > margin)
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
        let answer = self.answer_to(frame).await;
        let size = match answer {
            Ok(Ok(answer)) => {
                self.has_answered = true;
                return Ok(answer);
            }
            Ok(Err(size)) => size,
            Err(source) => return Err(self.broken(api, source)),
        };
        if size.to_be_bytes()[..2] == TLS_ALERT {
            return Err(WireError::SpeaksTls {
                broker: self.broker.clone(),
            });
        }
        Err(WireError::AnswerTooLarge {
            broker: self.broker.clone(),
            api,
            size: size.into(),
            limit: ANSWER_LIMIT,
        })
    }

    /// The answer, or its size where that is no size that an answer may have.
    async fn answer_to(&mut self, frame: &[u8]) -> io::Result<Result<Bytes, i32>> {
        self.stream.write_all(frame).await?;
        self.stream.flush().await?;
        let size = self.stream.read_i32().await?;
        let length = usize::try_from(size).ok();
        let Some(length) = length.filter(|length| *length <= ANSWER_LIMIT) else {
            return Ok(Err(size));
        };
        let mut answer = BytesMut::new();
        while answer.len() < length {
            let start = answer.len();
            answer.resize(length.min(start + READ_STEP), 0);
            self.stream.read_exact(&mut answer[start..]).await?;
        }
        Ok(Ok(answer.freeze()))
    }

    fn broken(&self, api: &'static str, source: io::Error) -> WireError {
        let broker = self.broker.clone();
        // With TLS 1.3 a broker looks at the client's certificate after the handshake.
        if tls::is_about_certificate(&source) {
            return WireError::CertificateRefused { broker, source };
        }
        let is_closed = matches!(
            source.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        );
        if is_closed && !self.has_answered && !self.versions.is_empty() {
            return WireError::ClosedAtOnce { broker, source };
        }
        WireError::Io {
            broker,
            api,
            source,
        }
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
            code,
        }
    }

    /// The requests since the last call, by name.
    pub(super) fn take_requests(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.requests)
    }
}

async fn transport(
    broker: &str,
    access: &Access,
    timeout: Duration,
) -> Result<Box<dyn Transport>, WireError> {
    let late = |api| {
        let broker = broker.to_owned();
        move || WireError::Timeout {
            broker,
            api,
            timeout,
        }
    };
    let connecting = async {
        let connected = TcpStream::connect(broker).await;
        connected.map_err(|source| WireError::Connect {
            broker: broker.to_owned(),
            source,
        })
    };
    let stream = within(timeout, connecting, late("connect")).await?;
    // Small requests must not wait for more bytes; a failure costs latency only.
    stream.set_nodelay(true).ok();
    let Some(connector) = &access.tls else {
        return Ok(Box::new(stream));
    };
    let shaking = async {
        let shaken = tls::handshake(connector, broker, stream).await;
        shaken.map_err(|source| match broker.to_owned() {
            broker if tls::is_about_certificate(&source) => {
                WireError::CertificateRefused { broker, source }
            }
            broker => WireError::Tls { broker, source },
        })
    };
    let stream = within(timeout, shaking, late("the TLS handshake")).await?;
    Ok(Box::new(stream))
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
