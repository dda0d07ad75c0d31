//! Replays on the real RabbitMQ: what arrives, what is refused, what stays unknown.

use std::time::Duration;

use redrive::config::{Config, Secret};
use redrive::domain::conventions as names;
use redrive::domain::{
    AmqpValue, Brake, DeadLetterId, Destination, ExchangeName, Filter, Header, QueueName,
    ReplayEvent, ReplayId, ReplayJobId, ReplayOptions, ReplayState, ReplayStateName,
    RevisionNumber, Timestamp, VhostName,
};
use redrive::replay::{Decision, DestinationChoice, ReplayError};
use redrive::store::{NewReplay, NewReplayJob};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use url::Url;
use uuid::Uuid;

use crate::support::eventually;
use crate::support::rabbitmq::{Vhost, number, text as text_argument};
use crate::support::replay_letters::{audit_entry, queue_letter, take, text};
use crate::support::replays::{
    ORIGINAL, Running, alice, impatient, messages_in, new_store, request,
};

fn config(vhost: &Vhost) -> Config {
    Config {
        rabbitmq: vec![vhost.config()],
        ..impatient()
    }
}

fn failure(state: &ReplayState) -> &str {
    match state {
        ReplayState::Failed { reason, .. } => reason,
        state => panic!("{state:?}"),
    }
}

#[tokio::test]
async fn a_replay_goes_to_its_queue_alone_and_leaves_the_broker_s_notes_behind() {
    let vhost = Vhost::create().await;
    let (orders, copies) = (QueueName::new("orders"), QueueName::new("copies"));
    let channel = vhost.channel().await;
    channel.declare_queue(&orders, &[]).await.unwrap();
    channel.declare_queue(&copies, &[]).await.unwrap();
    let fixture = new_store().await;
    let letter = queue_letter(&vhost.config().name, (&vhost.name, &orders), 1);
    let ids = take(&fixture.store, &[letter]).await;
    let running = Running::engines(config(&vhost), &fixture.store);
    let replay = running.replay(&ids, ORIGINAL).await[0];
    let sent = running.reaches(replay, ReplayStateName::Sent).await;

    let messages = messages_in(&vhost, &orders).await;
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!(message.body.as_deref(), Some(b"{\"number\":1}".as_slice()));
    let properties = message.properties.as_ref().unwrap();
    assert_eq!(properties.message_id.as_deref(), Some("message-1"));
    assert_eq!(
        (properties.priority, properties.delivery_mode),
        (Some(3), Some(2))
    );
    assert_eq!(
        (
            &properties.user_id,
            &properties.expiration,
            &properties.reply_to
        ),
        (&None, &None, &None)
    );
    assert_eq!(
        (
            properties.exchange.as_str(),
            properties.routing_key.as_str()
        ),
        ("", "orders")
    );
    assert!(
        message
            .headers
            .contains(&Header::amqp("tenant", AmqpValue::I32(7)))
    );
    for gone in ["CC", "x-death", "x-first-death-queue", "x-retry-count"] {
        assert_eq!(message.header(gone), None, "{gone}");
    }
    assert_eq!(text(message, names::REPLAY_ID), replay.to_string());
    assert_eq!(text(message, names::REPLAY_JOB_ID), sent.job.to_string());
    assert_eq!(text(message, names::REPLAY_ATTEMPT), "1");
    let source = format!("amqp:{}/orders.dlq#orders-1", vhost.name);
    assert_eq!(text(message, names::REPLAY_SOURCE), source);
    assert!(text(message, names::REPLAY_PREV_ERROR).contains("rejected"));
    assert_eq!(messages_in(&vhost, &copies).await.len(), 0);
    running.stop().await;
}

#[tokio::test]
async fn what_no_queue_takes_failed_and_the_rest_of_its_batch_arrived() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let (gone, full, open) = (
        QueueName::new("gone"),
        QueueName::new("full"),
        QueueName::new("open"),
    );
    let limits = [
        number("x-max-length", 1),
        text_argument("x-overflow", "reject-publish"),
    ];
    channel.declare_queue(&full, &limits).await.unwrap();
    channel.declare_queue(&open, &[]).await.unwrap();
    let fixture = new_store().await;
    let cluster = vhost.config().name;
    let letter = |queue, number| queue_letter(&cluster, (&vhost.name, queue), number);
    let mut letters = Vec::new();
    for number in 0..20 {
        letters.extend([
            letter(&gone, number),
            letter(&full, number),
            letter(&open, number),
        ]);
    }
    let ids = take(&fixture.store, &letters).await;
    let running = Running::engines(config(&vhost), &fixture.store);
    let replays = running.replay(&ids, ORIGINAL).await;
    let (mut sent, mut full_failures) = (0, 0);
    for id in replays {
        decided(&running, id).await;
        let replay = running.store.replay(id).await.unwrap();
        let Destination::RabbitMq { routing_key, .. } = &replay.destination else {
            unreachable!()
        };
        match (routing_key.as_str(), replay.state) {
            ("gone", state) => assert!(failure(&state).contains("no queue"), "{state:?}"),
            ("full", state @ ReplayState::Failed { .. }) => {
                assert!(failure(&state).contains("refused it"), "{state:?}");
                full_failures += 1;
            }
            (_, ReplayState::Sent { .. }) => sent += 1,
            (queue, state) => panic!("{queue}: {state:?}"),
        }
    }
    assert_eq!((sent, full_failures), (21, 19));
    assert_eq!(messages_in(&vhost, &open).await.len(), 20);
    assert_eq!(messages_in(&vhost, &full).await.len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn an_exchange_of_the_user_s_choice_reaches_what_is_bound_to_it() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let (queue, exchange) = (QueueName::new("audit"), ExchangeName::new("events"));
    channel.declare_queue(&queue, &[]).await.unwrap();
    channel.declare_exchange(&exchange, "topic").await.unwrap();
    channel
        .bind_queue(&queue, &exchange, "order.*")
        .await
        .unwrap();
    let fixture = new_store().await;
    let letter = |number| queue_letter(&vhost.config().name, (&vhost.name, &queue), number);
    let ids = take(&fixture.store, &[letter(1), letter(2), letter(3)]).await;
    let running = Running::engines(config(&vhost), &fixture.store);
    let to = |exchange: &str, routing_key: &str| DestinationChoice::Exchange {
        cluster: vhost.config().name,
        vhost: vhost.name.clone(),
        exchange: exchange.into(),
        routing_key: routing_key.to_owned(),
    };
    let arrives = running
        .replay(&ids[..1], to("events", "order.created"))
        .await[0];
    running.reaches(arrives, ReplayStateName::Sent).await;
    let unbound = running
        .replay(&ids[1..2], to("events", "payment.failed"))
        .await[0];
    running.reaches(unbound, ReplayStateName::Failed).await;
    let missing = running
        .replay(&ids[2..], to("no-such-exchange", "order.created"))
        .await[0];
    running.reaches(missing, ReplayStateName::Failed).await;
    assert_eq!(messages_in(&vhost, &queue).await.len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn what_a_dead_process_was_sending_waits_for_a_person() {
    let vhost = Vhost::create().await;
    let queue = QueueName::new("orders");
    vhost
        .channel()
        .await
        .declare_queue(&queue, &[])
        .await
        .unwrap();
    let fixture = new_store().await;
    let store = &fixture.store;
    let cluster = vhost.config().name;
    let letter = |number| queue_letter(&cluster, (&vhost.name, &queue), number);
    let ids = take(store, &[letter(1), letter(2), letter(3)]).await;
    let replay = |id: &DeadLetterId| NewReplay {
        id: ReplayId(Uuid::now_v7()),
        dead_letter: *id,
        revision: RevisionNumber(0),
        destination: Destination::queue(cluster.clone(), vhost.name.clone(), &queue),
    };
    let job = NewReplayJob {
        id: ReplayJobId(Uuid::now_v7()),
        created_at: Timestamp::now(),
        created_by: "alice".to_owned(),
        selection: "test".to_owned(),
        options: ReplayOptions::default(),
        replays: ids.iter().map(replay).collect(),
    };
    let replays = store
        .create_job(&job, &audit_entry())
        .await
        .unwrap()
        .planned;
    let at = Timestamp::now();
    for id in &replays {
        let sending = ReplayEvent::Sending {
            at,
            high_watermark: None,
            topic_id: None,
        };
        store.advance_replay(*id, sending, at).await.unwrap();
    }

    let running = Running::engines(config(&vhost), store);
    for id in &replays {
        running.reaches(*id, ReplayStateName::Unknown).await;
    }
    let refused = running.handle.start(request(&ids), alice()).await;
    assert!(
        matches!(refused, Err(ReplayError::NothingEligible { .. })),
        "{refused:?}"
    );
    let decide = async |index: usize, decision| {
        running
            .handle
            .resolve_unknown(replays[index], decision, alice())
            .await
            .unwrap();
    };
    decide(0, Decision::SendAgain).await;
    decide(1, Decision::AcceptAsSent).await;
    decide(2, Decision::AcceptAsFailed).await;
    running.reaches(replays[0], ReplayStateName::Sent).await;
    running.reaches(replays[1], ReplayStateName::Sent).await;
    running.reaches(replays[2], ReplayStateName::Failed).await;
    let messages = messages_in(&vhost, &queue).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(text(&messages[0], names::REPLAY_ID), replays[0].to_string());
    running.stop().await;
}

#[tokio::test]
async fn a_virtual_host_that_cannot_be_entered_keeps_no_other_waiting() {
    let vhost = Vhost::create().await;
    let orders = QueueName::new("orders");
    let gone = VhostName::new("there-is-no-such-vhost");
    vhost
        .channel()
        .await
        .declare_queue(&orders, &[])
        .await
        .unwrap();
    let fixture = new_store().await;
    let cluster = vhost.config().name;
    let letters = [
        queue_letter(&cluster, (&gone, &orders), 1),
        queue_letter(&cluster, (&vhost.name, &orders), 2),
    ];
    let ids = take(&fixture.store, &letters).await;
    let running = Running::engines(config(&vhost), &fixture.store);
    let replays = running.replay(&ids, ORIGINAL).await;
    running.reaches(replays[1], ReplayStateName::Sent).await;
    let waiting = fixture.store.replay(replays[0]).await.unwrap();
    assert_eq!(waiting.state.name(), ReplayStateName::Planned);
    let job = fixture
        .store
        .replay_job(waiting.job)
        .await
        .unwrap()
        .unwrap();
    let met = running.handle.obstacles(&job).await.unwrap();
    let [(named, obstacle)] = met.as_slice() else {
        panic!("{met:?}");
    };
    assert_eq!(*named, cluster);
    assert!(obstacle.reason.contains(gone.as_str()), "{obstacle:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_cluster_that_is_read_only_gets_nothing() {
    let vhost = Vhost::create().await;
    let queue = QueueName::new("orders");
    vhost
        .channel()
        .await
        .declare_queue(&queue, &[])
        .await
        .unwrap();
    let fixture = new_store().await;
    let letter = queue_letter(&vhost.config().name, (&vhost.name, &queue), 1);
    let ids = take(&fixture.store, &[letter]).await;
    let mut config = config(&vhost);
    config.rabbitmq[0].read_only = true;
    let running = Running::engines(config, &fixture.store);
    let refused = running.handle.start(request(&ids), alice()).await;
    let Err(ReplayError::NothingEligible { refused }) = refused else {
        panic!("{refused:?}")
    };
    assert!(refused[0].reason.contains("read_only"), "{refused:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_at_most_one_batch_unknown() {
    let vhost = Vhost::create().await;
    let queue = QueueName::new("orders");
    let channel = vhost.channel().await;
    channel.declare_queue(&queue, &[]).await.unwrap();
    let fixture = new_store().await;
    let cluster = vhost.config().name;
    let letters: Vec<_> = (0..500)
        .map(|number| queue_letter(&cluster, (&vhost.name, &queue), number))
        .collect();
    let ids = take(&fixture.store, &letters).await;
    let mut config = config(&vhost);
    config.rabbitmq[0].amqp_url = through_a_line_that_breaks(&vhost, 200_000).await;
    let running = Running::engines(config, &fixture.store);
    let (mut sent, mut unknown) = (0, 0);
    for id in running.replay(&ids, ORIGINAL).await {
        match decided(&running, id).await {
            ReplayStateName::Sent => sent += 1,
            ReplayStateName::Unknown => unknown += 1,
            name => panic!("{name}"),
        }
    }
    let arrived = messages_in(&vhost, &queue).await.len();
    assert!((1..=200).contains(&unknown), "{unknown} unknown");
    assert_eq!(sent + unknown, 500);
    assert!(
        (sent..=500).contains(&arrived),
        "{arrived} arrived, {sent} sent"
    );
    running.stop().await;
}

/// The queue of a consumer that is alone goes with it, in the middle of a job.
#[tokio::test]
async fn a_queue_that_goes_with_its_only_consumer_loses_no_event_unseen() {
    const EVENTS: i64 = 100;
    let vhost = Vhost::create().await;
    let queue = QueueName::new("orders");
    let temporary = serde_json::json!({"auto_delete": true, "durable": true});
    vhost
        .put(&["queues", vhost.name.as_str(), "orders"], &temporary)
        .await;
    let channel = vhost.channel().await;
    let mut consumer = channel.consume(&queue, 1).await.unwrap();
    let fixture = new_store().await;
    let cluster = vhost.config().name;
    let letters: Vec<_> = (0..EVENTS)
        .map(|number| queue_letter(&cluster, (&vhost.name, &queue), number))
        .collect();
    let ids = take(&fixture.store, &letters).await;
    let running = Running::engines(config(&vhost), &fixture.store);
    let brake = Brake {
        events_per_second: Some(25),
        ..Brake::default()
    };
    let started = running.handle.start_held(request(&ids), brake, alice());
    let replays = started.await.unwrap().planned;
    let first = consumer.next(Duration::from_secs(30)).await.unwrap();
    first
        .expect("a replay arrives")
        .acknowledge()
        .await
        .unwrap();
    channel.close().await;
    drop(consumer);

    let (mut sent, mut failed) = (0, 0);
    for id in replays {
        decided(&running, id).await;
        match running.store.replay(id).await.unwrap().state {
            ReplayState::Sent { .. } => sent += 1,
            state => {
                assert!(failure(&state).contains("no queue"), "{state:?}");
                failed += 1;
            }
        }
    }
    assert!(sent >= 1 && failed >= 1, "{sent} sent, {failed} failed");
    assert_eq!(sent + failed, EVENTS);
    let open = Filter::parse("status:open").unwrap();
    let open = fixture.store.count_dead_letters(&open, Timestamp::now());
    let open = open.await.unwrap();
    assert_eq!(i64::try_from(open).unwrap(), failed, "what failed is open");
    running.stop().await;
}

async fn decided(running: &Running, id: ReplayId) -> ReplayStateName {
    eventually("the replay is decided", async || {
        let name = running.store.replay(id).await.unwrap().state.name();
        (!matches!(name, ReplayStateName::Planned | ReplayStateName::Sending)).then_some(name)
    })
    .await
}

/// The address of a line to the broker whose first connection breaks after so many bytes.
async fn through_a_line_that_breaks(vhost: &Vhost, bytes: u64) -> Secret {
    let mut address: Url = vhost.config().amqp_url.expose().parse().unwrap();
    let broker = format!("{}:{}", address.host().unwrap(), address.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    address.set_port(Some(port)).unwrap();
    tokio::spawn(async move {
        let mut limits = std::iter::once(bytes).chain(std::iter::repeat(u64::MAX));
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&broker).await.unwrap();
            tokio::spawn(forward(client, server, limits.next().unwrap()));
        }
    });
    Secret::new(address.to_string())
}

async fn forward(mut client: TcpStream, mut server: TcpStream, limit: u64) {
    let (from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut from_client = from_client.take(limit);
    // Whichever ends first takes the connection with it.
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}
