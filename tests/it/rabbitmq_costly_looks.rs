//! Quorum queues whose delivery limit counts a look: it is accepted first, and destroys nothing. And looks that the
//! configuration asks for.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use redrive::config::{HumanDuration, QueueCustody};
use redrive::dead_letters::{IntakeState, LookError, LookResult, Requester};
use redrive::domain::{AmqpProperties, AmqpValue, Custody, DeadLetterStatus, Message};
use redrive::store::{AuditFilter, PageRequest};
use serde_json::json;
use tempfile::TempDir;

use crate::intake::Redrive;
use crate::rabbitmq_custody::drain;
use crate::rabbitmq_managed::{dlq, in_custody, rows_in};
use crate::support::crashes::serve;
use crate::support::rabbitmq::{
    Vhost, bodies, body, consume_alone, default_exchange, fill, number, text,
};
use crate::support::visitor::client;
use crate::support::{eventually, required};

/// With it a message comes back three times by looks, and no more.
const LIMIT: i32 = 7;

fn somebody() -> Requester {
    Requester {
        name: "alice".to_owned(),
        address: "192.0.2.1".to_owned(),
    }
}

fn limited() -> Vec<(String, AmqpValue)> {
    vec![
        text("x-queue-type", "quorum"),
        number("x-delivery-limit", LIMIT),
    ]
}

/// Looks as somebody who accepts the cost, once the statistics have forgotten the look before.
async fn look(redrive: &Redrive, vhost: &Vhost) -> Result<LookResult, LookError> {
    let somebody = somebody();
    eventually("the queue may be looked at", async || {
        let place = vhost.place(&dlq());
        match redrive.observer.look(&place, Some(&somebody)).await {
            Err(LookError::Refused { reason, .. }) if reason.contains("consume") => None,
            Err(LookError::Refused { reason, .. }) if reason.contains("not sampled") => None,
            Err(LookError::NoSuchQueue(_)) => None,
            looked => Some(looked),
        }
    })
    .await
}

async fn counts_its_own(vhost: &Vhost) -> bool {
    vhost.version().await.is_surely_before(4, 3)
}

#[tokio::test]
async fn a_look_that_counts_is_accepted_first_and_what_is_worn_out_is_kept() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &limited()).await.unwrap();
    fill(&channel, &dlq(), "m", 3).await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(in_custody(&vhost, QueueCustody::Observe), &folder).await;
    if !counts_its_own(&vhost).await {
        let refused = look(&redrive, &vhost).await.unwrap_err().to_string();
        assert!(refused.contains("delivery limit of 7"), "{refused}");
        redrive.stop().await;
        return;
    }
    eventually("the cost is told", async || {
        let place = vhost.place(&dlq());
        let cost = redrive.observer.look_cost(&place)?;
        assert_eq!(cost.limit, 7);
        let refused = redrive.observer.look(&place, None).await.unwrap_err();
        refused
            .to_string()
            .contains("1 of the 7 times")
            .then_some(())
    })
    .await;
    for _ in 0..3 {
        let looked = look(&redrive, &vhost).await.unwrap();
        assert_eq!((looked.seen, looked.kept), (3, 0));
    }
    fill(&channel, &dlq(), "late", 1).await;
    let looked = look(&redrive, &vhost).await.unwrap();
    assert_eq!((looked.seen, looked.new, looked.kept), (4, 1, 3));
    let rows = redrive.dead_letters().await;
    assert_eq!(rows.len(), 4, "they keep their rows");
    assert!(rows.iter().all(|row| row.status == DeadLetterStatus::Open));
    let in_store = rows.iter().filter(|row| row.custody == Custody::Store);
    assert_eq!(in_store.count(), 3);
    let audited = redrive
        .store
        .audit(
            &AuditFilter {
                action: Some("custody.costly_look".to_owned()),
                ..AuditFilter::default()
            },
            &PageRequest::first(10),
        )
        .await
        .unwrap();
    assert_eq!(audited.items.len(), 4);
    assert_eq!(audited.items[0].detail["delivery_limit"], 7);
    redrive.stop().await;
    assert_eq!(drain(&vhost, &dlq(), 1).await[0].0, "late0");
}

#[tokio::test]
async fn one_is_taken_at_the_cost_of_those_before_it() {
    let vhost = Vhost::create().await;
    if !counts_its_own(&vhost).await {
        return;
    }
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &limited()).await.unwrap();
    fill(&channel, &dlq(), "m", 4).await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(in_custody(&vhost, QueueCustody::Observe), &folder).await;
    // Only the third is taken, and the first two come back for the third time.
    for _ in 0..2 {
        look(&redrive, &vhost).await.unwrap();
    }
    let mut rows = redrive.dead_letters().await;
    rows.sort_by_key(|row| row.id);
    let take = async |row: usize, accepts_cost| {
        eventually("the queue may be read", async || {
            let id = rows[row].id;
            match redrive.observer.take(id, &somebody(), accepts_cost).await {
                Err(LookError::Refused { reason, .. }) if reason.contains("consumer") => None,
                taken => Some(taken),
            }
        })
        .await
    };
    let refused = take(2, false).await.unwrap_err().to_string();
    assert!(refused.contains("1 of the 7 times"), "{refused}");
    take(2, true).await.unwrap();
    let custody = async |row: usize| {
        let letter = redrive.store.dead_letter_summary(rows[row].id).await;
        letter.unwrap().custody
    };
    assert_eq!(custody(2).await, Custody::Store);
    assert_eq!(custody(0).await, Custody::Broker);
    take(3, true).await.unwrap();
    for row in 0..4 {
        assert_eq!(custody(row).await, Custody::Store, "{row}");
    }
    redrive.stop().await;
    vhost
        .queue_once(&dlq(), |sample| sample.messages == Some(0))
        .await;
}

/// What RabbitMQ delivers beside the one that is taken goes back as well, and is counted.
#[tokio::test]
async fn takes_wear_out_what_lies_behind_and_destroy_nothing() {
    let vhost = Vhost::create().await;
    if !counts_its_own(&vhost).await {
        return;
    }
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &limited()).await.unwrap();
    fill(&channel, &dlq(), "m", 12).await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(in_custody(&vhost, QueueCustody::Observe), &folder).await;
    look(&redrive, &vhost).await.unwrap();
    let mut rows = redrive.dead_letters().await;
    rows.sort_by_key(|row| row.id);
    for row in &rows[..3] {
        eventually("the first is taken", async || {
            match redrive.observer.take(row.id, &somebody(), true).await {
                Err(LookError::Refused { reason, .. }) if reason.contains("consumer") => None,
                taken => {
                    taken.unwrap();
                    Some(())
                }
            }
        })
        .await;
    }
    let rows = redrive.dead_letters().await;
    let kept = rows.iter().filter(|row| row.custody == Custody::Store);
    assert_eq!((rows.len(), kept.count()), (12, 12));
    redrive.stop().await;
}

/// The process dies while it holds messages that are worn out, and again when they are on disk and not acknowledged.
#[tokio::test]
async fn what_is_worn_out_outlasts_crashes() {
    let vhost = Vhost::create().await;
    if !counts_its_own(&vhost).await {
        return;
    }
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &limited()).await.unwrap();
    for number in 0..3 {
        let message = Message {
            properties: Some(Box::new(AmqpProperties {
                message_id: Some(format!("id-{number}")),
                ..AmqpProperties::default()
            })),
            ..body(&format!("m{number}"))
        };
        let (exchange, queue) = (default_exchange(), dlq());
        let published = channel.publish(&exchange, queue.as_str(), &message);
        published.await.unwrap();
    }
    for _ in 0..3 {
        let mut consumer = consume_alone(&vhost, &dlq(), 10).await;
        let mut held = Vec::new();
        while held.len() < 3 {
            let batch = consumer.next_batch(10, Duration::from_secs(10)).await;
            held.extend(batch.unwrap().into_iter().map(|one| one.message));
        }
        assert_eq!(bodies(&held), ["m0", "m1", "m2"]);
    }
    let folder = TempDir::new().unwrap();
    let address = observe(&vhost, &folder);
    let name = vhost.name.as_str().replace('/', "%2F");
    let path = format!("/api/v1/queues/rabbitmq/{name}/{}/look", dlq());
    let url = format!("http://{address}{path}?accept_cost=true");
    for point in ["look.held", "look.stored"] {
        let mut process = serve(folder.path(), Some(point));
        eventually(&format!("{point} is passed"), async || {
            let _ = client().post(&url).send().await;
            process.try_wait().unwrap()
        })
        .await;
    }
    let process = serve(folder.path(), None);
    eventually("they are kept", async || {
        let answer = client().post(&url).send().await.ok()?;
        let looked: serde_json::Value = answer.json().await.ok()?;
        (looked["kept"] == 3).then_some(())
    })
    .await;
    vhost
        .queue_once(&dlq(), |sample| sample.messages == Some(0))
        .await;
    drop(process);
    let rows = rows_in(folder.path()).await;
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(rows.iter().all(|row| row.custody == Custody::Store));
}

/// Writes the configuration of a service that observes the queue, and answers where it listens.
fn observe(vhost: &Vhost, folder: &TempDir) -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let free = free.unwrap().to_string();
    let amqp = vhost.config().amqp_url.expose().to_owned();
    let management = required("REDRIVE_TEST_RABBITMQ_MANAGEMENT_URL");
    let configuration = format!(
        "[http]\nlisten = '{free}'\n[store]\nurl = 'sqlite:redrive.db'\n[sampling]\ninterval = '1s'\n\
         [[rabbitmq]]\nname = 'rabbitmq'\namqp_url = '{amqp}'\nmanagement_url = '{management}'\n\
         [[rabbitmq.queues]]\nvhost = '{}'\nname = '{}'\nrole = 'dlq'\ncustody = 'observe'\n",
        vhost.name,
        dlq()
    );
    fs::write(folder.path().join("redrive.toml"), configuration).unwrap();
    free
}

#[tokio::test]
async fn a_queue_is_looked_at_by_itself_as_often_as_the_configuration_says() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    fill(&channel, &dlq(), "m", 2).await;
    let mut config = in_custody(&vhost, QueueCustody::Observe);
    config.rabbitmq[0].queues[0].observe_every = Some(HumanDuration::from_secs(2));
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(config, &folder).await;
    redrive.await_dead_letters(2).await;
    fill(&channel, &dlq(), "late", 1).await;
    redrive.await_dead_letters(3).await;
    let state = async || redrive.board.of_queue(&vhost.place(&dlq()));
    assert_eq!(state().await, Some(IntakeState::Reading));
    // From now on a look could harm.
    vhost.policy("dlq$", &json!({"message-ttl": 600_000})).await;
    eventually(
        "it is said why it is not looked at",
        async || match state().await {
            Some(IntakeState::Refused(reason)) if reason.contains("message TTL") => Some(()),
            _ => None,
        },
    )
    .await;
    redrive.stop().await;
    let left = drain(&vhost, &dlq(), 3).await;
    assert_eq!(left.len(), 3);
}
