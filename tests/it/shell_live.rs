//! `redrive dead-letters` where replays are sent to real brokers.

use redrive::config::HumanDuration;
use redrive::domain::{ConsumerGroup, conventions as names};
use redrive::domain::{Offset, Partition, QueueName};
use serde_json::Value;

use crate::replay_recovery::{commit_transaction, left_sending};
use crate::support::dashboard::Dashboard;
use crate::support::kafka_commits::commit_for_groups;
use crate::support::replay_letters::{index, kafka_letters, queue_letter, take, text};
use crate::support::replays::{
    impatient, impatient_kafka, messages_in, new_store, new_topic, records_in,
};
use crate::support::shell::{agreed, succeeds, typed};
use crate::support::visitor::get;
use crate::support::{eventually, rabbitmq::Vhost, unique};

/// Waits until all of the newest job is in that state.
async fn all_are(dashboard: &Dashboard, job: &str, state: &str) {
    eventually(&format!("all of the job is {state}"), async || {
        let shown = succeeds(dashboard, &["replays", "show", job, "--json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        (shown["counts"][state] == shown["total"]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_replays_to_another_topic_and_names_who_reads_it() {
    let (topic, other) = (
        new_topic("shell", 1, &[]).await,
        new_topic("shell", 1, &[]).await,
    );
    let reader = ConsumerGroup::new(unique("reader"));
    commit_for_groups(other.as_str(), &[reader.to_string()], Offset(0)).await;
    let fixture = new_store().await;
    let ids = index(
        &fixture.store,
        &kafka_letters(&topic, 0, &[Some("a"), Some("b")]),
    )
    .await;
    let dashboard = Dashboard::live(impatient_kafka(), fixture).await;
    let cluster = &dashboard.state.config.kafka[0].name;
    let (first, second) = (ids[0].to_string(), ids[1].to_string());
    let replay = [
        "replay",
        &first,
        &second,
        "--cluster",
        cluster.as_str(),
        "--topic",
        other.as_str(),
        "--json",
    ];
    let (done, asked) = agreed(&dashboard, &replay, "y\n");
    let to = format!("to topic {other} on {cluster}: 2 events\n");
    assert!(
        asked.contains("2 selected; 2 will be sent\n") && asked.contains(&to),
        "{asked}"
    );
    let reads = format!("  group {reader}, 0 members\n");
    assert!(asked.contains(&reads), "{asked}");
    let job: Value = serde_json::from_str(&done).unwrap();
    let job = job["id"].as_str().unwrap();
    all_are(&dashboard, job, "sent").await;
    let records = records_in(&other, Partition(0)).await;
    assert_eq!(records.len(), 2);
    let awaiting = succeeds(&dashboard, &["replays", "awaiting"]);
    assert!(
        awaiting.starts_with("2 awaiting\n")
            && awaiting.contains(text(&records[0].message, names::REPLAY_ID)),
        "{awaiting}"
    );
    assert!(records_in(&topic, Partition(0)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_replays_to_a_queue_alone() {
    let vhost = Vhost::create().await;
    let (from, to) = (QueueName::new("work"), QueueName::new("again"));
    let channel = vhost.channel().await;
    for queue in [&from, &to] {
        channel.declare_queue(queue, &[]).await.unwrap();
    }
    channel.close().await;
    let fixture = new_store().await;
    let cluster = vhost.config().name;
    let letter = queue_letter(&cluster, (&vhost.name, &from), 1);
    let ids = take(&fixture.store, &[letter]).await;
    let mut config = impatient();
    config.rabbitmq = vec![vhost.config()];
    let dashboard = Dashboard::live(config, fixture).await;
    let id = ids[0].to_string();
    let destination = [
        "--cluster",
        cluster.as_str(),
        "--vhost",
        vhost.name.as_str(),
        "--queue",
        "again",
    ];
    let replay = [&["replay", id.as_str(), "--json"], &destination[..]].concat();
    let (done, asked) = agreed(&dashboard, &replay, "y\n");
    assert!(asked.contains("  queue again, 0 consumers\n"), "{asked}");
    let job: Value = serde_json::from_str(&done).unwrap();
    all_are(&dashboard, job["id"].as_str().unwrap(), "sent").await;
    assert_eq!(messages_in(&vhost, &to).await.len(), 1);
    assert_eq!(messages_in(&vhost, &from).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_what_is_not_seen_again_ends_with_a_code_of_its_own() {
    let vhost = Vhost::create().await;
    let queue = QueueName::new("work");
    let channel = vhost.channel().await;
    channel.declare_queue(&queue, &[]).await.unwrap();
    channel.close().await;
    let fixture = new_store().await;
    let letter = queue_letter(&vhost.config().name, (&vhost.name, &queue), 1);
    let ids = take(&fixture.store, &[letter]).await;
    let mut config = impatient();
    config.replay.not_seen_after = HumanDuration::from_secs(2);
    config.rabbitmq = vec![vhost.config()];
    let dashboard = Dashboard::live(config, fixture).await;
    let id = ids[0].to_string();
    let output = typed(&dashboard, &["replay", &id, "--yes", "--wait"], "");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.ends_with(": 1 not seen again\n"), "{told}");
    assert_eq!(output.status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_unknown_is_found_and_sent_again_from_a_shell() {
    let topic = new_topic("shell", 1, &[("cleanup.policy", "compact")]).await;
    let fixture = new_store().await;
    let ids = index(
        &fixture.store,
        &kafka_letters(&topic, 0, &[Some("a"), Some("b")]),
    )
    .await;
    let replays = left_sending(&fixture.store, &ids, &topic).await;
    // An offset without a record may be one that compaction has taken.
    commit_transaction(&topic).await;
    let dashboard = Dashboard::live(impatient_kafka(), fixture).await;
    eventually("both are unknown", async || {
        let unknown = succeeds(&dashboard, &["replays", "unknown"]);
        unknown.starts_with("2 unknown\n").then_some(())
    })
    .await;
    let (_, _, page) = get(&dashboard, "/replays/unknown").await;
    assert!(page.contains("Decide for all 2 replays at once"), "{page}");
    let filter = format!("id:{}", ids[1]);
    let one = [
        "replays",
        "decide",
        "send-again",
        "--filter",
        &filter,
        "--yes",
    ];
    assert_eq!(succeeds(&dashboard, &one), "1 decided\n");
    let records = eventually("it is sent", async || {
        let records = records_in(&topic, Partition(0)).await;
        (records.len() > 1).then_some(records)
    })
    .await;
    assert_eq!(records.len(), 2, "that of the transaction, and one");
    assert_eq!(
        text(&records[1].message, names::REPLAY_ID),
        replays[1].id.to_string()
    );
    let job = replays[0].job.to_string();
    let rest = ["replays", "decide", "accept-as-failed", &job, "--yes"];
    let said = succeeds(&dashboard, &rest);
    assert!(said.contains("1 failed, 1 sent"), "{said}");
}
