use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::INTERVAL;
use super::message::{NoticeContent, body};
use super::signature::signature;
use crate::config::NotificationConfig;
use crate::domain::Timestamp;
use crate::metrics::{Metrics, NotificationOutcome};
use crate::store::{Attempt, Notice, Notification, Store, StoreError};

/// A receiver that takes longer has not taken it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The wait after the first failure; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(15);

/// A message that nobody took for so long is no news any more.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);

/// Posts the messages of one target, one after the other.
pub(super) struct Delivery {
    config: NotificationConfig,
    target: String,
    client: Client,
    store: Store,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl Delivery {
    pub(super) fn new(
        config: &NotificationConfig,
        store: Store,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> reqwest::Result<Self> {
        // A second one is refused, which is as good.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        // A redirect would carry what is signed for one receiver to another.
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .build()?;
        Ok(Self {
            config: config.clone(),
            target: config.name(),
            client,
            store,
            metrics,
            stop,
        })
    }

    pub(super) async fn run(self) {
        self.metrics.declare_notifications(&self.target);
        loop {
            let step = tokio::select! {
                () = self.stop.cancelled() => return,
                step = self.step() => step,
            };
            match step {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    let error = crate::error_chain(&error);
                    tracing::warn!(webhook = self.target, error, "cannot go on notifying");
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Posts or makes one message; `false` if there is nothing to do now.
    async fn step(&self) -> Result<bool, StoreError> {
        let now = Timestamp::now();
        match self.store.unfinished_notification(&self.target).await? {
            Some(message) if message.next_attempt > now => Ok(false),
            Some(message) => self.post(&message).await.map(|()| true),
            None => self.make_message(now).await,
        }
    }

    async fn make_message(&self, now: Timestamp) -> Result<bool, StoreError> {
        let since = now.minus(*self.config.window);
        let made = self.store.notifications_since(&self.target, since).await?;
        let budget = u64::from(self.config.limit).saturating_sub(made);
        if budget == 0 {
            return Ok(false);
        }
        let (notices, beyond) = self.store.notices(&self.target).await?;
        let told = told_at_once(&notices, beyond, budget);
        let Some(last) = told.last() else {
            return Ok(false);
        };
        let tells_all = told.len() == notices.len();
        let contents: Vec<NoticeContent> = told
            .iter()
            .filter_map(|notice| NoticeContent::from_json(&notice.content))
            .collect();
        let id = Uuid::now_v7();
        let more = if tells_all { beyond } else { 0 };
        let message = Notification {
            id,
            body: body(self.config.kind, (id, now), &contents, more),
            created_at: now,
            attempts: 0,
            next_attempt: now,
        };
        self.store
            .create_notification(&self.target, &message, (last.id, tells_all))
            .await?;
        Ok(true)
    }

    async fn post(&self, message: &Notification) -> Result<(), StoreError> {
        let result = self.exchange(message).await;
        let now = Timestamp::now();
        let attempt = match result {
            Ok(()) => Attempt::Delivered,
            Err(refusal) => judge(message, refusal, now),
        };
        self.report(&attempt);
        self.store
            .note_attempt(&self.target, message.id, &attempt, now)
            .await
    }

    fn report(&self, attempt: &Attempt) {
        let outcome = match attempt {
            Attempt::Delivered => NotificationOutcome::Delivered,
            Attempt::Failed { problem, .. } => {
                tracing::warn!(
                    webhook = self.target,
                    problem,
                    "a webhook did not take a message"
                );
                NotificationOutcome::Failed
            }
            Attempt::GivenUp { problem } => {
                tracing::error!(
                    webhook = self.target,
                    problem,
                    "a notification was given up"
                );
                NotificationOutcome::GivenUp
            }
        };
        self.metrics.notification_attempt(&self.target, outcome);
    }

    async fn exchange(&self, message: &Notification) -> Result<(), Refusal> {
        let id = message.id.to_string();
        let seconds = Timestamp::now().as_millis() / 1000;
        let agent = concat!("redrive/", env!("CARGO_PKG_VERSION"));
        let mut request = self
            .client
            .post(self.config.url.expose())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, agent)
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds);
        if let Some(key) = self.config.signing_key() {
            let signature = signature(&key, &id, seconds, &message.body);
            request = request.header("webhook-signature", signature);
        }
        match request.body(message.body.clone()).send().await {
            Ok(response) => judge_answer(&response),
            // Its URL may be a password.
            Err(error) => Err(Refusal {
                problem: crate::error_chain(&error.without_url()),
                wait: None,
            }),
        }
    }
}

/// Which notices the next message tells: one, as long as the limit leaves more messages for the others;
/// else all that wait.
fn told_at_once(notices: &[Notice], beyond: u64, budget: u64) -> &[Notice] {
    match notices {
        // So many wait that the receiver was away, or is being flooded.
        _ if budget <= 1 || beyond > 0 => notices,
        [first, ..] => std::slice::from_ref(first),
        [] => &[],
    }
}

/// Why a receiver did not take a message, and how long it asks to be left alone.
struct Refusal {
    problem: String,
    wait: Option<Duration>,
}

fn judge_answer(response: &Response) -> Result<(), Refusal> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let why = if status.is_redirection() {
        ", a redirect, which is not followed; configure the URL to which it leads"
    } else {
        ""
    };
    let asked = response.headers().get(RETRY_AFTER);
    let seconds = asked.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(Refusal {
        problem: format!("it answered {}{why}", status.as_u16()),
        wait: seconds.map(Duration::from_secs),
    })
}

/// When to try again, if at all.
fn judge(message: &Notification, refusal: Refusal, now: Timestamp) -> Attempt {
    let Refusal { problem, wait } = refusal;
    if now.since(message.created_at) >= GIVE_UP_AFTER {
        return Attempt::GivenUp { problem };
    }
    let doubled = 1_u32.checked_shl(message.attempts).unwrap_or(u32::MAX);
    let own = FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT);
    let wait = wait.unwrap_or_default().clamp(own, LONGEST_WAIT);
    let next = now.plus(wait);
    Attempt::Failed { problem, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_leaves_the_last_message_of_the_limit_for_all_that_waits() {
        let notice = |id| Notice {
            id,
            content: String::new(),
        };
        let notices: Vec<Notice> = (1..=22).map(notice).collect();
        let check = |waiting: usize, beyond: u64, budget: u64, told: usize| {
            let all = told_at_once(&notices[..waiting], beyond, budget);
            assert_eq!(all.len(), told, "{waiting} {beyond} {budget}");
        };
        check(22, 0, 10, 1);
        check(1, 0, 1, 1);
        check(13, 0, 1, 13);
        check(13, 7, 10, 13);
        check(0, 0, 10, 0);
    }

    #[test]
    fn the_wait_doubles_to_a_bound_and_ends_after_a_day() {
        let at = |attempts, asked: Option<u64>, age: Duration| {
            let message = Notification {
                id: Uuid::nil(),
                body: String::new(),
                created_at: Timestamp(0),
                attempts,
                next_attempt: Timestamp(0),
            };
            let refusal = Refusal {
                problem: "it answered 500".to_owned(),
                wait: asked.map(Duration::from_secs),
            };
            let now = Timestamp(0).plus(age);
            match judge(&message, refusal, now) {
                Attempt::Failed { next, .. } => Some(next.since(now).as_secs()),
                _ => None,
            }
        };
        let hour = Duration::from_hours(1);
        assert_eq!(at(0, None, hour), Some(5));
        assert_eq!(at(3, None, hour), Some(40));
        assert_eq!(at(40, None, hour), Some(900));
        assert_eq!(at(0, Some(60), hour), Some(60), "as the receiver asks");
        assert_eq!(at(0, Some(1_000_000), hour), Some(900));
        assert_eq!(at(9, None, 24 * hour), None);
    }
}
