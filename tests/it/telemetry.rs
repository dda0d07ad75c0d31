//! What Redrive says about itself, by the real binary.

use std::fs;
use std::path::Path;
use std::time::Duration;

use redrive::brokers::kafka::ReplayProducer;
use redrive::domain::Partition;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::replay_crash::free_port;
use crate::support::crashes::serve;
use crate::support::otlp::{Answer, OtlpReceiver, text};
use crate::support::replay_letters::kafka_letter;
use crate::support::replays::new_topic;
use crate::support::visitor::client;
use crate::support::{eventually, kafka};

/// An empty SETTINGS frame: as much of HTTP/2 as lets a client send.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A folder with a configuration for a broker that is not there.
fn folder(more: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let configuration = format!(
        "[http]\nlisten = '127.0.0.1:0'\n[[kafka]]\nname = 'k'\nbootstrap_servers = ['127.0.0.1:1']\n{more}"
    );
    fs::write(folder.path().join("redrive.toml"), configuration).unwrap();
    folder
}

fn log_of(folder: &Path) -> String {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("log-")
    });
    logs.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Reads what a collector is sent, in which the texts of log records stand as they are.
async fn is_sent(mut stream: TcpStream, text: &str) -> bool {
    stream.write_all(&SETTINGS).await.unwrap();
    let mut received = Vec::new();
    let mut part = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut part).await {
        received.extend_from_slice(&part[..length]);
        let found = received
            .windows(text.len())
            .any(|window| window == text.as_bytes());
        if found {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn logs_go_to_a_collector_by_otlp() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let folder = folder(&format!("[telemetry]\notlp_endpoint = '{endpoint}'"));
    let _redrive = serve(folder.path(), None);
    let (found, mut founds) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        // Spans and logs have a connection each, and both may come again.
        while let Ok((stream, _)) = collector.accept().await {
            let found = found.clone();
            tokio::spawn(async move {
                if is_sent(stream, "the dashboard is ready").await {
                    found.send(()).await.ok();
                }
            });
        }
    });
    eventually("the collector is sent the log", async || {
        founds.try_recv().ok()
    })
    .await;
}

#[tokio::test]
async fn an_intake_batch_and_a_replay_round_are_spans() {
    let receiver = OtlpReceiver::start(Answer::Take).await;
    let topic = new_topic("spans", 1, &[]).await;
    let dlq = new_topic("spans.dlq", 1, &[]).await;
    let (folder, port) = (TempDir::new().unwrap(), free_port().await);
    let configuration = format!(
        "[http]\nlisten = '127.0.0.1:{port}'\n[telemetry]\notlp_endpoint = '{}'\n\
         [[kafka]]\nname = 'k'\nbootstrap_servers = ['{}']\n\
         [dead_letters]\nkafka_topics = ['{dlq}']\n[sampling]\ninterval = '1s'\n",
        receiver.address,
        kafka().bootstrap_servers[0],
    );
    fs::write(folder.path().join("redrive.toml"), configuration).unwrap();
    let dead = kafka_letter(&"k".into(), (&topic, 0), 0, None).message;
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(5)).unwrap();
    producer.send(&dlq, Partition(0), &dead).await.unwrap();
    let _redrive = serve(folder.path(), None);
    let has_span = async |name: &str| {
        eventually(name, async || {
            let spans = receiver.spans();
            spans
                .into_iter()
                .find(|sent| sent.service == "redrive" && sent.span.name == name)
        })
        .await
    };
    let batch = has_span("intake_batch").await;
    assert_eq!(text(&batch.span.attributes, "cluster"), "k");
    let url = format!("http://127.0.0.1:{port}/api/v1/replays");
    let replay = client()
        .post(url)
        .json(&serde_json::json!({ "dead_letter_ids": [1] }));
    assert!(replay.send().await.unwrap().status().is_success());
    has_span("replay_round").await;
}

#[tokio::test]
async fn json_logs_are_one_object_a_line() {
    let folder = folder("[log]\nformat = 'json'");
    let _redrive = serve(folder.path(), None);
    let log = eventually("Redrive says that it cannot reach its broker", async || {
        let log = log_of(folder.path());
        log.contains("cannot sample the broker").then_some(log)
    })
    .await;
    let whole = log.rsplit_once('\n').unwrap().0;
    for line in whole.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(
            line["level"].is_string() && line["fields"].is_object(),
            "{line}"
        );
    }
}
