//! The byte stream from a broker to lapin, with every frame read before lapin's parser sees it.
//!
//! lapin takes its streams from a runtime kit, so [`GuardedRuntime`] is Tokio with another stream type.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;
use lapin::AsyncTcpStream;

use super::frame_scan::{Scan, scan_content_header, scan_method};

/// No frame is held beyond this. RabbitMQ's default is 128 KiB, and a content header may grow above
/// it when the broker adds to the headers.
const MAX_FRAME_BYTES: usize = 1024 * 1024;

const FRAME_HEADER_BYTES: usize = 7;
const FRAME_METHOD: u8 = 1;
const FRAME_CONTENT_HEADER: u8 = 2;
const FRAME_BODY: u8 = 3;
const FRAME_HEARTBEAT: u8 = 8;

/// A broker that does not speak this version of AMQP says so in eight bytes, beginning with `AMQP`.
const PROTOCOL_HEADER: u8 = b'A';
const PROTOCOL_HEADER_BYTES: usize = 8;

const READ_BYTES: usize = 16 * 1024;

/// What lies under the guard: TCP, or TLS over it.
type Transport = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// Frames on their way to lapin.
pub(super) struct GuardedStream {
    transport: Transport,
    frames: FrameQueue,
}

impl GuardedStream {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            frames: FrameQueue::default(),
        }
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut chunk = [0; READ_BYTES];
        loop {
            let taken = this.frames.take(target);
            if taken > 0 || target.is_empty() {
                return Poll::Ready(Ok(taken));
            }
            let transport = Pin::new(&mut this.transport);
            let read = ready!(transport.poll_read(context, &mut chunk))?;
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
            this.frames.add(&chunk[..read])?;
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().transport).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_close(context)
    }
}

/// Bytes in order: those of whole frames that were read and repaired, then those that are still too
/// few to be one.
#[derive(Default)]
struct FrameQueue {
    bytes: Vec<u8>,
    /// So many of them may be taken.
    scanned: usize,
    /// So many of those were taken.
    taken: usize,
}

impl FrameQueue {
    fn take(&mut self, target: &mut [u8]) -> usize {
        let count = target.len().min(self.scanned - self.taken);
        target[..count].copy_from_slice(&self.bytes[self.taken..self.taken + count]);
        self.taken += count;
        count
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.drain(..self.taken);
        self.scanned -= self.taken;
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
        while let Some(length) = frame_length(&self.bytes[self.scanned..])? {
            let Some(frame) = self.bytes.get_mut(self.scanned..self.scanned + length) else {
                break;
            };
            scan(frame)?;
            self.scanned += length;
        }
        Ok(())
    }
}

/// The length of the frame that begins here, once its beginning is there.
fn frame_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    match bytes.first() {
        None => return Ok(None),
        Some(&PROTOCOL_HEADER) => return Ok(Some(PROTOCOL_HEADER_BYTES)),
        Some(&(FRAME_METHOD | FRAME_CONTENT_HEADER | FRAME_BODY | FRAME_HEARTBEAT)) => {}
        Some(_) => return Err(refused("it sent something that is no AMQP frame")),
    }
    let Some(size) = bytes.get(3..FRAME_HEADER_BYTES) else {
        return Ok(None);
    };
    let size = u32::from_be_bytes([size[0], size[1], size[2], size[3]]);
    match usize::try_from(size) {
        Ok(size) if size <= MAX_FRAME_BYTES => Ok(Some(FRAME_HEADER_BYTES + size + 1)),
        _ => Err(refused("it sent a frame of more than 1 MiB")),
    }
}

fn scan(frame: &mut [u8]) -> io::Result<()> {
    let kind = frame[0];
    let end = frame.len() - 1;
    let payload = match kind {
        FRAME_METHOD | FRAME_CONTENT_HEADER => &mut frame[FRAME_HEADER_BYTES..end],
        _ => return Ok(()),
    };
    let scanned = match kind {
        FRAME_METHOD => scan_method(payload),
        _ => scan_content_header(payload),
    };
    match scanned {
        Ok(Scan::Untouched) => Ok(()),
        Ok(Scan::Repaired) => {
            tracing::warn!(
                "a message from RabbitMQ has names that are not UTF-8 or headers nested more than \
                 32 deep; they are kept as question marks and as bytes"
            );
            Ok(())
        }
        Err(_) => Err(refused("it sent a frame whose lengths are wrong")),
    }
}

fn refused(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Tokio, whose streams are guarded. lapin only asks it to spawn and to sleep; the stream itself is
/// made by `connect`.
#[derive(Clone, Debug)]
pub(super) struct GuardedRuntime(Tokio);

impl GuardedRuntime {
    pub(super) fn current() -> Self {
        Self(Tokio::current())
    }
}

impl RuntimeKit for GuardedRuntime {}

impl Executor for GuardedRuntime {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for GuardedRuntime {
    type TcpStream = GuardedStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(GuardedStream::new(AsyncTcpStream::Plain(connecting.await?))) }
    }
}

/// What lapin would read of bytes that arrive in pieces of `step`: whole frames, repaired. Fuzz targets
/// come in here.
pub fn guarded(bytes: &[u8], step: usize) -> io::Result<Vec<u8>> {
    let mut frames = FrameQueue::default();
    let mut passed = Vec::new();
    for piece in bytes.chunks(step.max(1)) {
        frames.add(piece)?;
        let start = passed.len();
        passed.resize(start + frames.scanned - frames.taken, 0);
        frames.take(&mut passed[start..]);
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1], size.as_slice(), payload, &[0xce]].concat()
    }

    #[test]
    fn frames_pass_whole_and_in_order_however_they_arrive() {
        let open_ok = frame(FRAME_METHOD, &[0, 10, 0, 41, 0]);
        let body = frame(FRAME_BODY, &[7; 5000]);
        let heartbeat = frame(FRAME_HEARTBEAT, &[]);
        let sent = [open_ok, body, heartbeat].concat();
        for step in [1, 7, 1000, sent.len()] {
            let mut queue = FrameQueue::default();
            let mut received = Vec::new();
            for piece in sent.chunks(step) {
                queue.add(piece).unwrap();
                let mut target = [0; 999];
                loop {
                    let taken = queue.take(&mut target);
                    if taken == 0 {
                        break;
                    }
                    received.extend_from_slice(&target[..taken]);
                }
            }
            assert_eq!(received, sent, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_before_it_is_held() {
        let check = |bytes: &[u8]| assert!(FrameQueue::default().add(bytes).is_err(), "{bytes:?}");
        check(b"HTTP/1.1 400 Bad Request");
        check(&[FRAME_BODY, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        check(&frame(FRAME_CONTENT_HEADER, &[0; 3]));
        let mut queue = FrameQueue::default();
        queue.add(b"AMQP\0\0\x09\x01").unwrap();
        assert_eq!(queue.take(&mut [0; 100]), 8);
    }
}
