//! What Redrive says about itself, by the real binary.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::crashes::serve;
use crate::support::eventually;

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
