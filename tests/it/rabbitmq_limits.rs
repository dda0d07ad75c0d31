//! Delivery limits of quorum queues: what comes back too often is destroyed, by rules that differ from release
//! to release.

use redrive::config::QueueCustody;
use redrive::dead_letters::IntakeState;
use redrive::domain::QueueName;
use serde_json::json;
use tempfile::TempDir;

use crate::intake::Redrive;
use crate::rabbitmq_custody::{drain, unlimited_quorum};
use crate::rabbitmq_managed::{dlq, in_custody};
use crate::support::eventually;
use crate::support::rabbitmq::{REQUEST_TIMEOUT, Vhost, bodies, consume_alone, fill, number, text};

async fn await_state(redrive: &Redrive, what: &str, is_it: impl Fn(&IntakeState) -> bool) {
    eventually(what, async || {
        let statuses = redrive.board.statuses();
        let mut of_queue = statuses
            .iter()
            .filter(|status| status.source.starts_with("queue"));
        of_queue.any(|status| is_it(&status.state)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_limit_that_comes_ends_the_custody_of_a_queue_until_it_is_gone() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let arguments = unlimited_quorum(&vhost).await;
    channel.declare_queue(&dlq(), &arguments).await.unwrap();
    fill(&channel, &dlq(), "m", 2).await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(in_custody(&vhost, QueueCustody::Managed), &folder).await;
    redrive.await_dead_letters(2).await;
    vhost.policy("dlq$", &json!({"delivery-limit": 7})).await;
    await_state(&redrive, "the limit is noticed", |state| {
        matches!(state, IntakeState::Refused(reason) if reason.contains("delivery limit of 7"))
    })
    .await;
    vhost
        .queue_once(&dlq(), |sample| sample.consumers == Some(0))
        .await;
    fill(&channel, &dlq(), "kept", 3).await;
    vhost
        .queue_once(&dlq(), |sample| sample.ready == Some(3))
        .await;
    vhost
        .policy("dlq$", &json!({"max-length": 1_000_000}))
        .await;
    assert_eq!(redrive.await_dead_letters(5).await.len(), 5);
    redrive.stop().await;
}

#[tokio::test]
async fn what_was_delivered_when_custody_ends_is_taken_and_nothing_more() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    fill(&channel, &dlq(), "m", 4).await;
    let mut consumer = consume_alone(&vhost, &dlq(), 3).await;
    let mut taken = consumer.next_batch(1, REQUEST_TIMEOUT).await.unwrap();
    consumer.cancel().await.unwrap();
    loop {
        let batch = consumer.next_batch(10, REQUEST_TIMEOUT).await.unwrap();
        if batch.is_empty() {
            break;
        }
        taken.extend(batch);
    }
    assert_eq!(
        bodies(taken.iter().map(|one| &one.message)),
        ["m0", "m1", "m2"]
    );
    let last = taken.last().unwrap().delivery_tag;
    consumer.acknowledge_through(last).await.unwrap();
    consumer.close().await;
    assert_eq!(
        drain(&vhost, &dlq(), 1).await,
        [("m3".to_owned(), false)],
        "it was never asked for"
    );
}

/// Since 4.3 what died of a limit brings its count along, and a limit of the DLQ would be exceeded already.
#[tokio::test]
async fn messages_that_died_of_a_limit_outlast_looks_and_lost_connections() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let work = QueueName::new("orders");
    let limited = [
        text("x-queue-type", "quorum"),
        number("x-delivery-limit", 1),
        text("x-dead-letter-exchange", ""),
        text("x-dead-letter-routing-key", dlq().as_str()),
    ];
    let arguments = unlimited_quorum(&vhost).await;
    channel.declare_queue(&dlq(), &arguments).await.unwrap();
    channel.declare_queue(&work, &limited).await.unwrap();
    fill(&channel, &work, "m", 3).await;
    // Their consumers die until they do.
    eventually("all have died", async || {
        let mut consumer = consume_alone(&vhost, &work, 10).await;
        let soon = std::time::Duration::from_millis(500);
        consumer
            .next_batch(10, soon)
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(in_custody(&vhost, QueueCustody::Observe), &folder).await;
    for _ in 0..2 {
        eventually("the queue is looked at", async || {
            let looked = redrive.observer.look(&vhost.place(&dlq()), None).await;
            looked.ok().filter(|look| look.seen == 3)
        })
        .await;
    }
    redrive.stop().await;
    for _ in 0..2 {
        let mut consumer = consume_alone(&vhost, &dlq(), 10).await;
        let mut held = 0;
        while held < 3 {
            held += consumer
                .next_batch(10, REQUEST_TIMEOUT)
                .await
                .unwrap()
                .len();
        }
    }
    let left = drain(&vhost, &dlq(), 3).await;
    let left: Vec<String> = left.into_iter().map(|(body, _)| body).collect();
    assert_eq!(left, ["m0", "m1", "m2"]);
}
