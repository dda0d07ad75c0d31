//! A virtual host of its own for each test, made and removed by the management API.

use redrive::brokers::rabbitmq::amqp::{
    AmqpChannel, AmqpError, GiveBack, HeldWindow, LookOrder, LookRule, ManagedConsumer,
    ObserveError, hold_window,
};
use redrive::brokers::rabbitmq::{BrokerVersion, ManagementClient};
use redrive::config::{RabbitMqConfig, Secret};
use redrive::domain::{
    AmqpValue, ExchangeName, Message, QueueName, QueuePlace, QueueSample, VhostName,
};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

use super::{eventually, rabbitmq, unique};

pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What [`Vhost::channel`] calls its connection.
pub(crate) const TEST_CONNECTION: &str = "redrive test";

/// Consumes as the intake does, once the queue has forgotten the consumer before.
pub(crate) async fn consume_alone(
    vhost: &Vhost,
    queue: &QueueName,
    prefetch: u16,
) -> ManagedConsumer {
    eventually(
        "nobody consumes the queue",
        async || match ManagedConsumer::open(&vhost.config(), &vhost.name, queue, prefetch).await {
            Err(AmqpError::AnotherConsumer) => None,
            opened => Some(opened.unwrap()),
        },
    )
    .await
}

/// What a look showed, and how many messages were ready before it and after all were given back.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) messages: Vec<Message>,
    pub(crate) ready_before: u32,
    pub(crate) ready_after: u32,
}

impl Seen {
    async fn giving_back(held: HeldWindow) -> Result<Self, ObserveError> {
        let messages = held.messages.iter().map(|one| one.message.clone());
        Ok(Self {
            messages: messages.collect(),
            ready_before: held.ready_before,
            ready_after: held.give_back().await?,
        })
    }
}

/// Looks at the head of a queue where RabbitMQ's statistics say that this is harmless, and gives all back.
pub(crate) async fn look_at(
    config: &RabbitMqConfig,
    place: &QueuePlace,
    limit: u16,
) -> Result<Seen, ObserveError> {
    let held = hold_window(config, REQUEST_TIMEOUT, place, LookOrder::free(limit)).await?;
    Seen::giving_back(held).await
}

/// The same by whoever knows what he does.
pub(crate) async fn look_unasked(vhost: &Vhost, queue: &QueueName, give_back: GiveBack) -> Seen {
    let rule = LookRule {
        give_back,
        cost: None,
    };
    let (config, place) = (vhost.config(), vhost.place(queue));
    let held = HeldWindow::hold(&config, &place, LookOrder::free(10), rule).await;
    Seen::giving_back(held.unwrap()).await.unwrap()
}

/// A virtual host that is removed with all that is in it when this is dropped.
pub(crate) struct Vhost {
    pub(crate) name: VhostName,
    broker: RabbitMqConfig,
    management: Url,
}

impl Vhost {
    /// A queue in it.
    pub(crate) fn place(&self, queue: &QueueName) -> QueuePlace {
        QueuePlace {
            cluster: self.config().name,
            vhost: self.name.clone(),
            queue: queue.clone(),
        }
    }

    /// Creates a virtual host in which the test user may do everything.
    pub(crate) async fn create() -> Self {
        Self::on(rabbitmq()).await
    }

    /// The same on another broker than the shared one.
    pub(crate) async fn on(broker: RabbitMqConfig) -> Self {
        let management = Url::parse(broker.management_url.expose()).unwrap();
        let vhost = Self {
            // The slash is what every client of the API forgets to escape.
            name: VhostName::new(unique("test/vhost")),
            broker,
            management,
        };
        let user = vhost.management.username().to_owned();
        vhost
            .put(&["vhosts", vhost.name.as_str()], &json!({}))
            .await;
        let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
        let permissions = ["permissions", vhost.name.as_str(), user.as_str()];
        vhost.put(&permissions, &everything).await;
        vhost
    }

    /// The configuration of its broker with this virtual host in the AMQP address.
    pub(crate) fn config(&self) -> RabbitMqConfig {
        self.config_of(self.broker.clone())
    }

    /// The same of another node of the broker.
    pub(crate) fn config_of(&self, node: RabbitMqConfig) -> RabbitMqConfig {
        let mut amqp = Url::parse(node.amqp_url.expose()).unwrap();
        amqp.path_segments_mut()
            .unwrap()
            .clear()
            .push(self.name.as_str());
        RabbitMqConfig {
            amqp_url: Secret::new(amqp),
            ..node
        }
    }

    pub(crate) async fn channel(&self) -> AmqpChannel {
        AmqpChannel::open(&self.config(), "test").await.unwrap()
    }

    pub(crate) fn management(&self) -> ManagementClient {
        ManagementClient::new(&self.broker.management_url, REQUEST_TIMEOUT).unwrap()
    }

    /// Which RabbitMQ the tests run against; they assert the rules of that version.
    pub(crate) async fn version(&self) -> BrokerVersion {
        self.management().overview().await.unwrap().version
    }

    /// `PUT /api/…`, for policies and whatever AMQP does not declare.
    pub(crate) async fn put(&self, segments: &[&str], body: &Value) {
        let client = reqwest::Client::new();
        let request = client.put(self.url(segments)).json(body);
        let status = request.send().await.unwrap().status();
        assert!(status.is_success(), "PUT {segments:?}: {status}");
    }

    pub(crate) async fn delete_user(&self, user: &str) {
        let url = self.url(&["users", user]);
        reqwest::Client::new().delete(url).send().await.unwrap();
    }

    pub(crate) async fn delete_queue(&self, queue: &QueueName) {
        let url = self.url(&["queues", self.name.as_str(), queue.as_str()]);
        reqwest::Client::new().delete(url).send().await.unwrap();
    }

    pub(crate) async fn policy(&self, pattern: &str, definition: &Value) {
        let policy = json!({"pattern": pattern, "definition": definition, "apply-to": "queues"});
        self.put(&["policies", self.name.as_str(), "policy"], &policy)
            .await;
    }

    /// Cuts every connection of Redrive into this virtual host, as a network does; those of the test stay.
    pub(crate) async fn cut_connections(&self) {
        let client = reqwest::Client::new();
        let list = self.url(&["vhosts", self.name.as_str(), "connections"]);
        let names = eventually("the broker lists the connection", async || {
            let rows: Vec<Value> = client
                .get(list.clone())
                .send()
                .await
                .ok()?
                .json()
                .await
                .ok()?;
            let names = rows
                .iter()
                .filter(|row| row["user_provided_name"] != TEST_CONNECTION)
                .filter_map(|row| row["name"].as_str().map(str::to_owned));
            Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty())
        })
        .await;
        for name in names {
            client
                .delete(self.url(&["connections", &name]))
                .send()
                .await
                .unwrap();
        }
    }

    /// A queue as the management API sees it once `condition` holds; statistics come seconds late.
    pub(crate) async fn queue_once(
        &self,
        queue: &QueueName,
        condition: impl Fn(&QueueSample) -> bool,
    ) -> QueueSample {
        let management = self.management();
        eventually("the statistics of the queue", async || {
            let details = management.queue(&self.name, queue).await.unwrap()?;
            let settled = details.has_statistics && condition(&details.sample);
            settled.then_some(details.sample)
        })
        .await
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.management.clone();
        url.path_segments_mut()
            .unwrap()
            .pop_if_empty()
            .push("api")
            .extend(segments);
        url
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let url = self.url(&["vhosts", self.name.as_str()]);
        // A test that panics drops this too, in the middle of its runtime: a thread has its own.
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let _ = reqwest::Client::new().delete(url).send().await;
            });
        });
        let _ = removal.join();
    }
}

pub(crate) fn text(name: &str, value: &str) -> (String, AmqpValue) {
    (name.to_owned(), AmqpValue::long_string(value))
}

pub(crate) fn number(name: &str, value: i32) -> (String, AmqpValue) {
    (name.to_owned(), AmqpValue::I32(value))
}

pub(crate) fn body(text: &str) -> Message {
    Message {
        body: Some(text.to_owned().into()),
        ..Message::default()
    }
}

pub(crate) fn default_exchange() -> ExchangeName {
    ExchangeName::default()
}

/// Publishes `prefix0`, `prefix1`, … to a queue.
pub(crate) async fn fill(channel: &AmqpChannel, queue: &QueueName, prefix: &str, count: usize) {
    for number in 0..count {
        let message = body(&format!("{prefix}{number}"));
        channel
            .publish(&default_exchange(), queue.as_str(), &message)
            .await
            .unwrap();
    }
}

/// The bodies of messages as text.
pub(crate) fn bodies<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Vec<String> {
    let text = |message: &Message| {
        String::from_utf8_lossy(message.body.as_deref().unwrap_or_default()).into_owned()
    };
    messages.into_iter().map(text).collect()
}
