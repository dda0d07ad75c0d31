//! What a real RabbitMQ shows a user, and what Redrive says of the rest.

use redrive::brokers::rabbitmq::RabbitMqSampler;
use redrive::brokers::rabbitmq::amqp::{PublishOutcome, ReplayPublisher};
use redrive::config::{Config, RabbitMqConfig, Secret};
use redrive::domain::RabbitMqSample;
use serde_json::json;

use crate::rabbitmq_replay::{is_refused, outgoing};
use crate::rabbitmq_sampling::{declare, failure, sample_once};
use crate::support::dashboard::Dashboard;
use crate::support::rabbitmq;
use crate::support::rabbitmq::{REQUEST_TIMEOUT, Vhost, default_exchange};
use crate::support::replays::new_store;
use crate::support::visitor::get;

/// A user of the management API, named after the virtual host of the test.
struct User<'a> {
    vhost: &'a Vhost,
    name: String,
}

impl<'a> User<'a> {
    async fn create(vhost: &'a Vhost, tags: &str) -> Self {
        let name = vhost.name.as_str().replace('/', "-");
        let user = Self { vhost, name };
        user.tag(tags).await;
        user
    }

    async fn tag(&self, tags: &str) {
        let body = json!({"password": "geheim", "tags": tags});
        self.vhost.put(&["users", &self.name], &body).await;
    }

    /// Lets it enter the virtual host of the test.
    async fn admit(&self) {
        let permissions = json!({"configure": "^$", "write": "^$", "read": "^$"});
        let path = ["permissions", self.vhost.name.as_str(), &self.name];
        self.vhost.put(&path, &permissions).await;
    }

    fn management_url(&self, password: &str) -> String {
        let mut url = url::Url::parse(rabbitmq().management_url.expose()).unwrap();
        url.set_username(&self.name).unwrap();
        url.set_password(Some(password)).unwrap();
        url.to_string()
    }

    fn config(&self) -> RabbitMqConfig {
        RabbitMqConfig {
            management_url: Secret::new(self.management_url("geheim")),
            ..rabbitmq()
        }
    }

    fn amqp_url(&self) -> Secret {
        let mut url = url::Url::parse(rabbitmq().amqp_url.expose()).unwrap();
        url.set_username(&self.name).unwrap();
        url.set_password(Some("geheim")).unwrap();
        Secret::new(url.to_string())
    }

    /// What a sampler that has just been started sees as this user.
    async fn sample(&self) -> RabbitMqSample {
        let mut sampler = RabbitMqSampler::new(&self.config(), REQUEST_TIMEOUT);
        sampler.sample().await.unwrap()
    }

    async fn delete(self) {
        self.vhost.delete_user(&self.name).await;
    }
}

#[tokio::test]
async fn who_may_not_publish_is_refused_and_nothing_is_unknown() {
    let vhost = Vhost::create().await;
    let user = User::create(&vhost, "").await;
    user.admit().await;
    let config = RabbitMqConfig {
        amqp_url: user.amqp_url(),
        ..rabbitmq()
    };
    let publisher = ReplayPublisher::open(&config, &vhost.name, REQUEST_TIMEOUT);
    let publisher = publisher.await.unwrap();
    let batch = [0; 3].map(|_| outgoing(&default_exchange(), "orders"));
    let outcomes = publisher.publish_batch(&batch).await;
    is_refused(&outcomes[0], "may not publish there");
    is_refused(&outcomes[0], "grant it write on the exchange");
    assert_eq!(
        outcomes[1..],
        [PublishOutcome::NotSent, PublishOutcome::NotSent]
    );
    publisher.close().await;
    user.delete().await;
}

#[tokio::test]
async fn a_user_without_the_tag_is_told_which_one_it_needs() {
    let vhost = Vhost::create().await;
    let user = User::create(&vhost, "").await;
    let untagged = failure(&user.management_url("geheim"), REQUEST_TIMEOUT).await;
    let wrong_password = failure(&user.management_url("falsch"), REQUEST_TIMEOUT).await;
    user.tag("management").await;
    user.admit().await;
    declare(&vhost.channel().await, "orders").await;
    let sample = sample_once(&vhost, &user.config(), |queues| {
        queues.contains_key("orders")
    })
    .await;
    user.delete().await;
    assert!(untagged.to_string().contains("set_user_tags"), "{untagged}");
    assert!(
        wrong_password
            .to_string()
            .contains("check user and password"),
        "{wrong_password}"
    );
    let foreign = sample.queues.iter().find(|queue| queue.vhost != vhost.name);
    assert!(
        foreign.is_none(),
        "a queue of a virtual host that the user may not enter"
    );
}

#[tokio::test]
async fn a_user_that_is_shown_a_part_is_told_what_is_missing_and_the_remedy() {
    let vhost = Vhost::create().await;
    let user = User::create(&vhost, "management,policymaker").await;
    let about = |sample: &RabbitMqSample, part: &str| {
        let mut problems = sample.problems.iter();
        problems.find(|problem| problem.contains(part)).cloned()
    };
    let tag = format!(
        "`rabbitmqctl set_user_tags {} policymaker monitoring`",
        user.name
    );
    let permissions = format!(" {} '^$' '^$' '^$'`", user.name);

    let nothing_at_all = user.sample().await;
    assert!(nothing_at_all.queues.is_empty());
    assert!(about(&nothing_at_all, &tag).is_some(), "{nothing_at_all:?}");
    assert!(about(&nothing_at_all, &permissions).is_some());

    user.admit().await;
    let without_tag = user.sample().await;
    let told = about(&without_tag, &tag).unwrap();
    assert!(told.contains("in which it has permissions (1)"), "{told}");
    assert_eq!(about(&without_tag, &permissions), None);
    let config = Config {
        rabbitmq: vec![user.config()],
        ..Config::default()
    };
    let dashboard = Dashboard::live(config, new_store().await).await;
    let page = get(&dashboard, "/status").await.2;
    let on_page = format!("set_user_tags {} policymaker monitoring", user.name);
    assert!(page.contains(&on_page), "{page}");

    user.tag("policymaker,monitoring").await;
    let with_tag = user.sample().await;
    assert_eq!(about(&with_tag, "rabbitmqctl"), None);
    let hidden = with_tag.hidden_vhosts.unwrap();
    assert!(
        hidden.contains("/: ") || hidden.contains("/, "),
        "the default virtual host is not the user's: {hidden}"
    );
    user.delete().await;
}
