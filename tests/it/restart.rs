//! What Redrive knows right after a restart, by the real binary and the real Kafka.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use redrive::domain::Timestamp;
use redrive::store::HeldStore;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::sampling::{client, commit, create_topic};
use crate::support::crashes::serve;
use crate::support::visitor::client as browser;
use crate::support::{eventually, required, unique};

/// Between two looks of one second each, and until the answer was read.
const TOLERANCE: f64 = 2.5;

/// One start of the service after another on one store.
struct Redrive {
    folder: TempDir,
    address: String,
    running: Child,
}

impl Redrive {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        // The DLQs of other tests have troubles of their own, which are logged.
        let configuration = format!(
            "[http]\nlisten = '{free}'\n[store]\nurl = 'sqlite:redrive.db'\n[sampling]\ninterval = '1s'\n\
             [dead_letters]\nkafka_topics = []\n\
             [[kafka]]\nname = 'kafka'\nbootstrap_servers = ['{}']\n",
            required("REDRIVE_TEST_KAFKA")
        );
        fs::write(folder.path().join("redrive.toml"), configuration).unwrap();
        Self {
            running: serve(folder.path(), None),
            address: format!("http://{free}"),
            folder,
        }
    }

    async fn stop(&mut self) {
        let pid = self.running.id().unwrap().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(asked.unwrap().success());
        let status = self.running.wait().await.unwrap();
        assert!(status.success(), "{status}");
    }

    fn start_again(&mut self) {
        self.running = serve(self.folder.path(), None);
    }

    fn log(&self) -> String {
        let files = fs::read_dir(self.folder.path()).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let is_log = |path: &Path| path.to_string_lossy().contains("log-");
        let logs = paths.filter(|path| is_log(path));
        logs.map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    async fn text(&self, path: &str) -> Option<String> {
        let answer = browser().get(format!("{}{path}", self.address)).send();
        answer.await.ok()?.text().await.ok()
    }

    async fn api(&self, path: &str) -> Option<Value> {
        let text = self.text(&format!("/api/v1{path}")).await?;
        serde_json::from_str(&text).ok()
    }

    /// The group as the first look sees it, or a later one that satisfies the condition.
    async fn group(&self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || {
            let groups = self.api("/consumer-groups?limit=1000").await?;
            let groups = groups["items"].as_array()?;
            let group = groups.iter().find(|group| group["group"] == name)?;
            condition(group).then(|| group.clone())
        })
        .await
    }
}

/// Writes records one after another; answers when each was written.
async fn produce(topic: &str, records: usize) -> Vec<Timestamp> {
    let producer: FutureProducer = client().create().unwrap();
    let mut times = Vec::new();
    for _ in 0..records {
        let record = FutureRecord::<(), [u8]>::to(topic)
            .partition(0)
            .payload(b"{}");
        let sent = producer.send(record, Duration::from_secs(10));
        sent.await.expect("delivered");
        times.push(Timestamp::now());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    times
}

fn is_age_of(seconds: &Value, written_at: Timestamp) {
    let truth = Timestamp::now().since(written_at).as_secs_f64();
    let said = seconds.as_f64();
    let said = said.unwrap_or_else(|| panic!("unknown, and it is {truth} s"));
    assert!(
        (said - truth).abs() < TOLERANCE,
        "{said} s, and it is {truth} s"
    );
}

#[tokio::test]
async fn right_after_a_restart_time_lag_is_exact_and_charts_go_on() {
    let (topic, group) = (unique("restart"), unique("group"));
    create_topic(&topic).await;
    commit(&group, &topic, 0).await;
    let mut redrive = Redrive::start();
    let is_seen = |group: &Value| group["lag"] == 0;
    redrive
        .group(&group, "the empty topic is watched", is_seen)
        .await;
    let times = produce(&topic, 10).await;
    commit(&group, &topic, 5).await;
    let is_late = |group: &Value| group["lag"] == 5 && group["lag_seconds"].as_f64() > Some(6.0);
    let before = redrive.group(&group, "it is late", is_late).await;
    is_age_of(&before["lag_seconds"], times[5]);
    redrive.stop().await;
    let stopped_at = Timestamp::now();
    redrive.start_again();

    let after = redrive.group(&group, "it is seen again", |_| true).await;
    assert_eq!(after["lag"], 5);
    is_age_of(&after["lag_seconds"], times[5]);

    for range in ["1h", "6h", "24h", "7d"] {
        let path = format!("/consumer-groups/kafka/{group}/history?range={range}");
        let history = redrive.api(&path).await.unwrap();
        let lag = &history["series"][0];
        assert_eq!(lag["name"], "lag", "{history}");
        let points = lag["points"].as_array().unwrap();
        let at = |point: &Value| Timestamp::parse(point["at"].as_str().unwrap()).unwrap();
        let times: Vec<_> = points.iter().map(at).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{range}: {history}");
        assert!(times[0] < stopped_at, "{range}: {history}");
        let most = points[0]["value"].as_f64();
        assert!(
            most >= Some(5.0),
            "of ten unread ones five are left: {history}"
        );
        let last = points.last().unwrap();
        assert!(at(last) > stopped_at && last["value"] == 5.0, "{history}");
    }
    let page = redrive
        .text(&format!("/consumers/kafka/{group}?range=24h"))
        .await;
    let page = page.unwrap();
    assert!(page.contains("aria-current=\"true\">24h</a>"), "{page}");
    assert_eq!(page.matches("<svg class=\"chart\"").count(), 3);
    let log = redrive.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    redrive.stop().await;
}

#[tokio::test]
async fn a_topic_made_anew_while_redrive_was_down_has_no_age_of_its_namesake() {
    let (topic, group) = (unique("namesake"), unique("group"));
    create_topic(&topic).await;
    commit(&group, &topic, 0).await;
    let mut redrive = Redrive::start();
    redrive
        .group(&group, "the empty topic is watched", |_| true)
        .await;
    let times = produce(&topic, 4).await;
    let is_late = |group: &Value| group["lag"] == 4 && group["lag_seconds"].as_f64() > Some(6.0);
    let before = redrive.group(&group, "it is late", is_late).await;
    is_age_of(&before["lag_seconds"], times[0]);
    redrive.stop().await;

    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let deleted = admin.delete_topics(&[&topic], &AdminOptions::new()).await;
    deleted.unwrap()[0].as_ref().unwrap();
    eventually("the topic can be made anew", async || {
        let topic = NewTopic::new(&topic, 2, TopicReplication::Fixed(1));
        let created = admin.create_topics([&topic], &AdminOptions::new()).await;
        created.ok()?.pop()?.ok()
    })
    .await;
    let anew = Timestamp::now();
    // Longer than its namesake was.
    produce(&topic, 6).await;
    commit(&group, &topic, 1).await;
    redrive.start_again();
    let after = redrive
        .group(&group, "it is seen again", |group| group["lag"] == 5)
        .await;
    if let Some(seconds) = after["lag_seconds"].as_f64() {
        let oldest = Timestamp::now().since(anew).as_secs_f64();
        assert!(
            seconds <= oldest,
            "{seconds} s old, and made {oldest} s ago"
        );
    }
    redrive.stop().await;
}

#[tokio::test]
async fn a_second_redrive_on_one_store_is_refused() {
    let folder = TempDir::new().unwrap();
    let configuration = "[http]\nlisten = '127.0.0.1:0'\n[store]\nurl = 'sqlite:redrive.db'\n";
    fs::write(folder.path().join("redrive.toml"), configuration).unwrap();
    let database = folder.path().join("redrive.db");
    let _held = HeldStore::take(&format!("sqlite:{}", database.display())).unwrap();
    let mut second = serve(folder.path(), None);
    let status = tokio::time::timeout(Duration::from_mins(1), second.wait()).await;
    assert!(!status.unwrap().unwrap().success());
    let names = fs::read_dir(folder.path()).unwrap();
    let mut logs = names.map(|entry| entry.unwrap().path());
    let log = logs.find(|path| path.display().to_string().contains("/log-"));
    let said = fs::read_to_string(log.unwrap()).unwrap();
    assert!(
        said.contains("another Redrive works with this store"),
        "{said}"
    );
    assert!(
        !database.exists(),
        "it was refused before it touched the store"
    );
}
