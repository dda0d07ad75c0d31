//! Streams are read by offset: nothing in them changes, nothing is read twice, other readers do not matter.

use redrive::config::QueueCustody;
use redrive::domain::{Custody, DeadLetterSummary};
use tempfile::TempDir;

use crate::intake::Redrive;
use crate::rabbitmq_managed::{dlq, in_custody};
use crate::support::eventually;
use crate::support::rabbitmq::{Vhost, bodies, fill, text};

/// Reads on once the stream is known to the last sample. Answers how many came.
async fn read_on(redrive: &Redrive, vhost: &Vhost) -> usize {
    eventually("the stream is read", async || {
        let looked = redrive.observer.look(&vhost.place(&dlq()), None).await;
        looked.ok().map(|look| look.seen)
    })
    .await
}

async fn stored(redrive: &Redrive) -> Vec<String> {
    let mut rows: Vec<DeadLetterSummary> = redrive.dead_letters().await;
    rows.sort_by_key(|row| row.id);
    let mut messages = Vec::new();
    for row in rows {
        assert_eq!(row.custody, Custody::Stream);
        messages.push(redrive.store.dead_letter(row.id).await.unwrap().message);
    }
    bodies(&messages)
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

#[tokio::test]
async fn a_stream_is_read_on_from_where_the_last_read_ended_and_keeps_its_messages() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let stream = [text("x-queue-type", "stream")];
    channel.declare_queue(&dlq(), &stream).await.unwrap();
    fill(&channel, &dlq(), "m", 25).await;
    let folder = TempDir::new().unwrap();
    let config = || {
        let mut config = in_custody(&vhost, QueueCustody::Observe);
        config.dead_letters.observe_window = 20;
        config
    };
    let redrive = Redrive::start(config(), &folder).await;
    assert_eq!(read_on(&redrive, &vhost).await, 20);
    redrive.stop().await;
    // The cursor outlives the process.
    let redrive = Redrive::start(config(), &folder).await;
    assert_eq!(read_on(&redrive, &vhost).await, 5);
    assert_eq!(read_on(&redrive, &vhost).await, 0);
    fill(&channel, &dlq(), "later", 2).await;
    assert_eq!(read_on(&redrive, &vhost).await, 2);
    let expected = [numbered("m", 25), numbered("later", 2)].concat();
    assert_eq!(stored(&redrive).await, expected);
    redrive.stop().await;
    let afresh = TempDir::new().unwrap();
    let mut all = config();
    all.dead_letters.observe_window = 100;
    let another = Redrive::start(all, &afresh).await;
    assert_eq!(
        read_on(&another, &vhost).await,
        27,
        "all messages are still there"
    );
    another.stop().await;
}

#[tokio::test]
async fn a_stream_that_was_declared_anew_is_read_from_its_beginning() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let stream = [text("x-queue-type", "stream")];
    channel.declare_queue(&dlq(), &stream).await.unwrap();
    fill(&channel, &dlq(), "old", 5).await;
    let folder = TempDir::new().unwrap();
    let config = in_custody(&vhost, QueueCustody::Observe);
    let redrive = Redrive::start(config, &folder).await;
    assert_eq!(read_on(&redrive, &vhost).await, 5);
    vhost.delete_queue(&dlq()).await;
    channel.declare_queue(&dlq(), &stream).await.unwrap();
    fill(&channel, &dlq(), "new", 2).await;
    let came = eventually("the new stream is read", async || {
        Some(read_on(&redrive, &vhost).await).filter(|came| *came > 0)
    });
    assert_eq!(came.await, 2);
    let expected = [numbered("old", 5), numbered("new", 2)].concat();
    assert_eq!(stored(&redrive).await, expected);
    redrive.stop().await;
}
