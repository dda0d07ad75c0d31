//! The line between Redrive and a broker, which the trial can cut, stall and make deaf.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::plan::Cut;

const BIND_LIMIT: Duration = Duration::from_secs(10);

/// What the line does with the connections that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Line {
    /// Connections of an earlier generation end.
    generation: u64,
    flow: Flow,
    refuses: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Open,
    /// The client's side has ended, as if it had shut down its half.
    HalfClosed,
    AnswersLost,
    Stalled,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToBroker,
    ToClient,
}

/// A listener and its connections; they end when it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    line: Arc<watch::Sender<Line>>,
    sent: Arc<watch::Sender<u64>>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.break_connections();
    }
}

impl Proxy {
    /// Listens on the port, 0 for any, and forwards to the broker's.
    pub(crate) async fn listen(port: u16, broker: u16) -> Result<Self> {
        let listener = bind(port).await?;
        let address = listener.local_addr()?;
        let line = Arc::new(watch::Sender::new(Line::default()));
        let sent = Arc::new(watch::Sender::new(0));
        let accepting = tokio::spawn(accept(
            listener,
            broker,
            Arc::clone(&line),
            Arc::clone(&sent),
        ));
        Ok(Self {
            address,
            line,
            sent,
            accepting,
        })
    }

    /// Bytes that went to the broker since the proxy began.
    pub(crate) fn sent(&self) -> u64 {
        *self.sent.borrow()
    }

    /// Waits until so many bytes went to the broker, or the time is over.
    pub(crate) async fn wait_until_sent(&self, bytes: u64, limit: Duration) {
        let mut sent = self.sent.subscribe();
        let reached = sent.wait_for(|count| *count >= bytes);
        let _ = tokio::time::timeout(limit, reached).await;
    }

    /// Does to the connections what a network does, for so long.
    pub(crate) async fn cut(&self, cut: Cut, duration: Duration) {
        match cut {
            Cut::Reset => self.break_connections(),
            Cut::HalfClose => self.for_a_while(Flow::HalfClosed, duration).await,
            Cut::AnswersLost => {
                self.set_flow(Flow::AnswersLost);
                tokio::time::sleep(duration).await;
                self.break_connections();
            }
            Cut::Stall => self.for_a_while(Flow::Stalled, duration).await,
            Cut::Refused => {
                self.line.send_modify(|line| line.refuses = true);
                self.break_connections();
                tokio::time::sleep(duration).await;
                self.line.send_modify(|line| line.refuses = false);
            }
        }
    }

    fn break_connections(&self) {
        self.line.send_modify(|line| {
            line.generation += 1;
            line.flow = Flow::Open;
        });
    }

    fn set_flow(&self, flow: Flow) {
        self.line.send_modify(|line| line.flow = flow);
    }

    async fn for_a_while(&self, flow: Flow, duration: Duration) {
        self.set_flow(flow);
        tokio::time::sleep(duration).await;
        self.set_flow(Flow::Open);
    }
}

/// The proxy of the episode before on this port may not have ended yet.
async fn bind(port: u16) -> Result<TcpListener> {
    let deadline = Instant::now() + BIND_LIMIT;
    loop {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("port {port} of a proxy is taken"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(listener) => return Ok(listener),
        }
    }
}

async fn accept(
    listener: TcpListener,
    broker: u16,
    line: Arc<watch::Sender<Line>>,
    sent: Arc<watch::Sender<u64>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let line = line.subscribe();
        if line.borrow().refuses {
            continue;
        }
        // A broker that is down refuses, and so does its proxy.
        let Ok(upstream) = TcpStream::connect(("127.0.0.1", broker)).await else {
            continue;
        };
        for stream in [&client, &upstream] {
            let _ = stream.set_nodelay(true);
            // What is dropped is reset, not closed politely.
            let _ = stream.set_zero_linger();
        }
        let (from_client, to_client) = client.into_split();
        let (from_broker, to_broker) = upstream.into_split();
        let sent = Arc::clone(&sent);
        let up = pump(
            from_client,
            to_broker,
            Direction::ToBroker,
            line.clone(),
            Some(sent),
        );
        let down = pump(from_broker, to_client, Direction::ToClient, line, None);
        tokio::spawn(async move {
            // Both halves of a stream have to go before it closes.
            tokio::join!(up, down);
        });
    }
}

/// Copies one direction until an end closes it or the line cuts it.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut line: watch::Receiver<Line>,
    sent: Option<Arc<watch::Sender<u64>>>,
) {
    let born = line.borrow().generation;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = line.changed() => {
                let now = *line.borrow_and_update();
                if changed.is_err() || now.generation != born {
                    return;
                }
                if now.flow == Flow::HalfClosed && direction == Direction::ToBroker {
                    let _ = to.shutdown().await;
                    return until_cut(line, born).await;
                }
                continue;
            }
        };
        let count = match read {
            Ok(count) if count > 0 => count,
            _ => {
                let _ = to.shutdown().await;
                return;
            }
        };
        let Some(flow) = when_it_flows(&mut line, born).await else {
            return;
        };
        if flow == Flow::AnswersLost && direction == Direction::ToClient {
            continue;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        if let Some(sent) = &sent {
            sent.send_modify(|total| *total += u64::try_from(count).unwrap_or_default());
        }
    }
}

/// Waits while the line is stalled; `None` when it was cut.
async fn when_it_flows(line: &mut watch::Receiver<Line>, born: u64) -> Option<Flow> {
    let flows = line.wait_for(|now| now.generation != born || now.flow != Flow::Stalled);
    let now = *flows.await.ok()?;
    (now.generation == born).then_some(now.flow)
}

/// A half that was closed keeps its socket, so that the other half goes on.
async fn until_cut(mut line: watch::Receiver<Line>, born: u64) {
    let _ = line
        .wait_for(|now| now.generation != born || now.flow == Flow::Open)
        .await;
}
