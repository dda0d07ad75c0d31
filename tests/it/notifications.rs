//! Webhooks that are told of failure groups, by the real service and by its tasks.

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use redrive::brokers::kafka::{KafkaAdmin, ReplayProducer};
use redrive::config::Config;
use redrive::domain::conventions::{ERROR_CLASS, ORIGINAL_TOPIC};
use redrive::domain::{DeadLetterStatus, Header, Message, Partition, Timestamp, TopicName};
use redrive::notifications;
use redrive::store::Store;
use reqwest::StatusCode;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::support::crashes::serve;
use crate::support::dashboard::Dashboard;
use crate::support::rabbitmq::body;
use crate::support::receiver::{Received, Receiver};
use crate::support::snapshots::busy_snapshot;
use crate::support::stored_letters::{Letter, kafka_letter};
use crate::support::visitor::{Visitor, api, client, get};
use crate::support::{eventually, kafka, required, unique};

const SECRET: &str = "a secret of the receiver";

async fn fail(topic: &TopicName, class: &str) {
    let producer = ReplayProducer::new(&kafka(), std::time::Duration::from_secs(10)).unwrap();
    let message = Message {
        headers: vec![
            Header::text(ERROR_CLASS, class),
            Header::text(ORIGINAL_TOPIC, "orders"),
        ],
        ..body("x")
    };
    producer.send(topic, Partition(0), &message).await.unwrap();
}

/// As a receiver checks it, with nothing of Redrive's.
fn is_signed(received: &Received) -> bool {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let (id, time) = (
        received.header("webhook-id"),
        received.header("webhook-timestamp"),
    );
    mac.update(format!("{id}.{time}.{}", received.body).as_bytes());
    let code = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    received.header("webhook-signature") == format!("v1,{code}")
}

#[tokio::test]
async fn a_backlog_is_one_message_which_survives_a_crash_and_a_new_group_is_another() {
    let topic = TopicName::new(format!("{}.dlq", unique("orders")));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    admin.create_topic(&topic, 1, &[]).await.unwrap();
    for class in ["A", "B", "C"] {
        fail(&topic, class).await;
    }
    let receiver = Receiver::start(StatusCode::INTERNAL_SERVER_ERROR).await;
    let folder = tempfile::tempdir().unwrap();
    let configuration = format!(
        "[http]\nlisten = '127.0.0.1:0'\n[sampling]\ninterval = '1s'\n[dead_letters]\n\
         kafka_topics = ['{topic}']\n[[kafka]]\nname = 'kafka'\nbootstrap_servers = ['{}']\n\
         [[notifications]]\nname = 'pager'\nurl = '{}/hook'\nsecret = '{SECRET}'\n",
        required("REDRIVE_TEST_KAFKA"),
        receiver.address
    );
    std::fs::write(folder.path().join("redrive.toml"), configuration).unwrap();
    let mut service = serve(folder.path(), None);
    let first = eventually("the backlog is told", async || {
        receiver.received().into_iter().next()
    })
    .await;
    service.kill().await.unwrap();
    receiver.answer(StatusCode::NO_CONTENT);
    let _service = serve(folder.path(), None);
    let again = eventually("the message is sent again", async || {
        receiver.received().into_iter().nth(1)
    })
    .await;
    assert_eq!(first.header("webhook-id"), again.header("webhook-id"));
    assert_eq!(first.body, again.body);
    assert!(is_signed(&first) && is_signed(&again));
    let notices = &again.json()["notices"];
    assert_eq!(notices.as_array().unwrap().len(), 1, "{notices}");
    assert_eq!(notices[0]["event"], "dlqs.discovered");
    let found = &notices[0]["dlqs"][0];
    assert_eq!(found["dlq"], topic.as_str());
    assert_eq!(
        (&found["dead_letters"], &found["failure_groups"]),
        (&json!(3), &json!(3))
    );

    fail(&topic, "D").await;
    let third = eventually("the new group is told", async || {
        receiver.received().into_iter().nth(2)
    })
    .await;
    let notices = &third.json()["notices"];
    assert_eq!(notices.as_array().unwrap().len(), 1, "{notices}");
    assert_eq!(notices[0]["event"], "failure_group.new");
    assert!(
        notices[0]["title"].as_str().unwrap().starts_with('D'),
        "{notices}"
    );
    assert_ne!(first.header("webhook-id"), third.header("webhook-id"));
}

/// The tasks of a dashboard's webhooks.
struct Tasks(TaskTracker);

impl Tasks {
    fn of(dashboard: &Dashboard) -> Self {
        crate::support::install_crypto_provider();
        let state = &dashboard.state;
        let tasks = notifications::tasks(&state.config, &state.store, &state.metrics, &state.stop);
        let tracker = TaskTracker::new();
        for task in tasks {
            tracker.spawn(task);
        }
        Self(tracker)
    }
}

fn configuration(receiver: &Receiver, more: &str) -> Config {
    let text = format!(
        "[[notifications]]\nname = 'pager'\nurl = '{}/hush'\nsecret = '{SECRET}'\n{more}",
        receiver.address
    );
    Config::parse(&text, []).unwrap()
}

async fn die(store: &Store, offset: i64, class: &str) {
    let mut letter = kafka_letter(&Letter {
        offset,
        event_type: "OrderCreated",
        class,
        message: "failed",
        body: b"{}",
        age: 5,
    });
    letter.classification.group = format!("v1:{class}").as_str().into();
    store
        .index_kafka_batch(&"kafka".into(), &[letter], &[], &[], Timestamp::now())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_burst_of_new_groups_ends_in_a_digest() {
    let receiver = Receiver::start(StatusCode::OK).await;
    let config = configuration(&receiver, "limit = 3\nkind = 'slack'\nwindow = '1h'");
    let dashboard = Dashboard::serve(busy_snapshot(Timestamp::now()), config).await;
    let store = &dashboard.state.store;
    let kafka = "kafka".into();
    store
        .note_backlog_read(&kafka, "", "orders.dlq")
        .await
        .unwrap();
    for number in 0..20 {
        die(store, number, &format!("Error{number}")).await;
    }
    let tasks = Tasks::of(&dashboard);
    let texts = eventually("three messages are sent", async || {
        let texts: Vec<String> = receiver
            .received()
            .iter()
            .map(|received| received.json()["text"].as_str().unwrap().to_owned())
            .collect();
        (texts.len() >= 3).then_some(texts)
    })
    .await;
    assert!(
        texts[0].contains("Error0:") && !texts[0].contains("more"),
        "{texts:?}"
    );
    assert!(texts[1].contains("Error1:"), "{texts:?}");
    assert!(texts[2].contains("Error2:"), "{texts:?}");
    assert!(texts[2].ends_with("and 13 more"), "{texts:?}");
    // The limit is used up: what comes now waits.
    die(store, 20, "Error20").await;
    let status = eventually("the next one waits", async || {
        let status = store.notification_status("pager").await.unwrap();
        (status.waiting == 1).then_some(status)
    })
    .await;
    assert!(status.last_delivered.is_some() && status.failing.is_none());
    dashboard.state.stop.cancel();
    tasks.0.close();
    tasks.0.wait().await;
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn a_group_that_comes_back_is_told_and_a_refusal_is_shown_without_the_url() {
    let receiver = Receiver::start(StatusCode::TEMPORARY_REDIRECT).await;
    let config = configuration(&receiver, "");
    let dashboard = Dashboard::serve(busy_snapshot(Timestamp::now()), config).await;
    let store = &dashboard.state.store;
    let kafka = "kafka".into();
    store
        .note_backlog_read(&kafka, "", "orders.dlq")
        .await
        .unwrap();
    die(store, 0, "Timeout").await;
    let discard = json!({ "dead_letter_ids": [1], "reason": "fixed" });
    let url = dashboard.url("/api/v1/discards");
    let response = client().post(url).json(&discard).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let letter = store
        .dead_letter(redrive::domain::DeadLetterId(1))
        .await
        .unwrap();
    assert_eq!(letter.summary.status, DeadLetterStatus::Discarded);
    die(store, 1, "Timeout").await;
    let _tasks = Tasks::of(&dashboard);
    let (_, problem) = eventually("the refusal is known", async || {
        let listed = api(&dashboard, "/notifications").await;
        let problem = listed["items"][0]["problem"].as_str()?.to_owned();
        Some((listed, problem))
    })
    .await;
    assert!(
        problem.contains("307") && problem.contains("not followed"),
        "{problem}"
    );
    let requests = receiver.received();
    assert!(
        requests.iter().all(|one| one.path == "/hush"),
        "a redirect was followed"
    );
    let notices = &requests[0].json()["notices"];
    // The two events of one group are one notice.
    assert_eq!(notices.as_array().unwrap().len(), 1);
    assert_eq!(notices[0]["event"], "failure_group.regressed");
    let (_, _, page) = get(&dashboard, "/status").await;
    assert!(
        page.contains("pager") && page.contains("not followed"),
        "{page}"
    );
    assert!(!page.contains("/hush") && !page.contains(SECRET), "{page}");
    let (_, _, metrics) = get(&dashboard, "/metrics").await;
    let line = "redrive_notification_attempts_total{outcome=\"failed\",target=\"pager\"} ";
    assert!(
        metrics.contains(line) && !metrics.contains(&format!("{line}0")),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_test_message_is_sent_from_status_and_by_the_api() {
    let receiver = Receiver::start(StatusCode::OK).await;
    let config = configuration(&receiver, "");
    let dashboard = Dashboard::serve(busy_snapshot(Timestamp::now()), config).await;
    let _tasks = Tasks::of(&dashboard);
    let visitor = Visitor::of(&dashboard).await;
    let url = dashboard.url("/status/notifications/test");
    let (status, _, _) = visitor.post(&url, &[("target", "pager")]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let first = eventually("the test is sent", async || receiver.received().pop()).await;
    assert_eq!(first.json()["notices"][0]["event"], "test");
    let (status, _, page) = visitor.post(&url, &[("target", "nobody")]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(page.contains("nobody"), "{page}");
    let url = dashboard.url("/api/v1/notifications/pager/test");
    let response = client().post(url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    eventually("the second test is sent", async || {
        (receiver.received().len() == 2).then_some(())
    })
    .await;
    let audit = api(&dashboard, "/audit").await;
    assert_eq!(audit["items"][0]["action"], "notification.test");
}
