//! `redrive dead-letters queues`, `take` and `return` on a real RabbitMQ, and `filters`.

use redrive::config::QueueCustody;
use serde_json::Value;

use crate::rabbitmq_custody::drain;
use crate::rabbitmq_managed::{dlq, in_custody};
use crate::support::dashboard::Dashboard;
use crate::support::eventually;
use crate::support::rabbitmq::{Vhost, fill};
use crate::support::replays::new_store;
use crate::support::shell::{fails, succeeds, typed};

/// Runs a command until RabbitMQ's statistics let it through; answers what it prints.
async fn once(dashboard: &Dashboard, arguments: &[&str]) -> String {
    eventually("the queue may be read", async || {
        let output = typed(dashboard, arguments, "");
        let said = String::from_utf8(output.stderr).unwrap();
        let waits = ["consume", "not sampled", "there is no queue"];
        if !output.status.success() {
            let may_wait = waits.iter().any(|reason| said.contains(reason));
            assert!(may_wait, "{arguments:?}: {said}");
            return None;
        }
        Some(String::from_utf8(output.stdout).unwrap())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_looks_at_a_queue_takes_one_and_returns_it() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    fill(&channel, &dlq(), "m", 2).await;
    let config = in_custody(&vhost, QueueCustody::Observe);
    let dashboard = Dashboard::live(config, new_store().await).await;
    let queue = dlq().to_string();
    let look = [
        "queues",
        "look",
        "rabbitmq",
        &queue,
        "--vhost",
        vhost.name.as_str(),
    ];
    assert_eq!(
        once(&dashboard, &look).await,
        "seen 2 of 2 in the queue, new 2\n"
    );
    let listed: Value = serde_json::from_str(&succeeds(&dashboard, &["list", "--json"])).unwrap();
    let id = listed["items"][0]["id"].to_string();
    let taken = once(&dashboard, &["take", &id]).await;
    assert_eq!(taken, format!("dead letter {id} is in the store now\n"));
    let again = fails(&dashboard, &["take", &id]);
    assert!(again.contains("it is in the store already"), "{again}");
    let returned = once(&dashboard, &["return", &id]).await;
    assert_eq!(returned, "1 returned\n");
    let output = typed(&dashboard, &["return", &id], "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains(&format!("{id}: not returned: ")), "{said}");
    assert_eq!(drain(&vhost, &dlq(), 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_manages_a_queue_and_ends_that() {
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    channel.declare_queue(&dlq(), &[]).await.unwrap();
    let mut config = in_custody(&vhost, QueueCustody::Observe);
    // Only its role is configured, so that the shell has a say.
    config.rabbitmq[0].queues[0].custody = None;
    let dashboard = Dashboard::live(config, new_store().await).await;
    let queue = dlq().to_string();
    let place = ["rabbitmq", &queue, "--vhost", vhost.name.as_str()];
    let manage = [&["queues", "manage"], place.as_slice()].concat();
    let unmanage = [&["queues", "unmanage"], place.as_slice()].concat();
    let managed = once(&dashboard, &manage).await;
    assert_eq!(
        managed,
        "its messages are moved into the store as they arrive\n"
    );
    let refused = fails(&dashboard, &manage);
    assert!(refused.contains("it is managed already"), "{refused}");
    let look = [&["queues", "look"], place.as_slice()].concat();
    let refused = fails(&dashboard, &look);
    assert!(
        refused.contains("its messages are in the store"),
        "{refused}"
    );
    let ended = succeeds(&dashboard, &unmanage);
    assert_eq!(ended, "its messages stay in the queue from now on\n");
    let refused = fails(&dashboard, &unmanage);
    assert!(refused.contains("was not given into custody"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_saves_lists_and_removes_filters() {
    let dashboard = Dashboard::busy().await;
    let before = succeeds(&dashboard, &["filters"]);
    let filter = "error:Timeout status:open";
    assert_eq!(
        succeeds(&dashboard, &["filters", "save", "slow gateway", filter]),
        "saved\n"
    );
    let listed = succeeds(&dashboard, &["filters", "list"]);
    assert_eq!(listed.lines().count(), before.lines().count() + 1);
    let line = listed
        .lines()
        .find(|line| line.starts_with("slow gateway "));
    assert!(line.is_some_and(|line| line.ends_with(filter)), "{listed}");
    let refused = fails(&dashboard, &["filters", "save", "x", "nonsense:1"]);
    assert!(refused.contains("nonsense"), "{refused}");
    let removed = succeeds(&dashboard, &["filters", "remove", "slow gateway"]);
    assert_eq!(removed, "removed\n");
    assert_eq!(succeeds(&dashboard, &["filters"]), before);
    let refused = fails(&dashboard, &["filters", "remove", "slow gateway"]);
    assert!(refused.contains("slow gateway"), "{refused}");
}
