use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::charts::Charts;
use super::custody::{accepts_cost, requester};
use super::frame::NavigationEntry;
use super::freshness::{StaleNotice, is_stale, stale_notices};
use super::look_notice::look_parameters;
use super::queue_custody::{CustodyOffer, offer, place as place_named};
use super::queue_troubles::troubles;
use super::queues::{NOT_GIVEN, QueueLink, dead_letter_links, queue_path, role_badge, warning};
use crate::config::QueueCustody;
use crate::dead_letters::IntakeState;
use crate::domain::{
    BindingDestination, ClusterName, ClusterSnapshot, DeliveryLimit, FilterField, LookCost,
    QueueName, QueuePlace, QueueRole, QueueStatus, QueueType, VhostName,
};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::lines::queue_lines;
use crate::web::markup;
use crate::web::parameters::list_url;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

struct Binding {
    exchange: String,
    key: String,
}

struct Setting {
    name: &'static str,
    value: String,
}

/// One queue: its role and why, where its dead letters go, and a way to look into it.
#[derive(Template)]
#[template(path = "queue.html")]
pub(crate) struct QueuePage {
    cluster: String,
    vhost: String,
    queue: String,
    role: Markup,
    role_means: &'static str,
    warning: Markup,
    stale: Vec<StaleNotice>,
    troubles: Vec<String>,
    is_stale: bool,
    ready: Markup,
    unacked: Markup,
    consumers: Markup,
    size: String,
    publish: Markup,
    settle: Markup,
    redeliver: Markup,
    charts: Charts,
    settings: Vec<Setting>,
    bindings: Vec<Binding>,
    dead_letters_to: Vec<QueueLink>,
    dead_letters_from: Vec<QueueLink>,
    letters: String,
    observe: Option<Observe>,
    custody: String,
    /// Why a managed queue is not read; empty if it is.
    not_read: String,
    offer: CustodyOffer,
}

/// The form that takes a look at the head of an observed queue.
struct Observe {
    /// Why the queue may not be looked at; empty if it may.
    refusal: String,
    /// What has to be accepted first.
    cost: Option<LookCost>,
    action: String,
    csrf: String,
    label: String,
}

pub(crate) async fn queue(
    State(state): State<AppState>,
    Path((cluster, vhost, queue)): Path<(String, String, String)>,
    visit: Visit,
) -> Result<Response, Problem> {
    let snapshot = state.snapshot();
    let (cluster, vhost) = (ClusterName::new(cluster), VhostName::new(vhost));
    let queue = QueueName::new(queue);
    let found = snapshot
        .queues()
        .find(|(c, q)| c.name == cluster && q.sample.vhost == vhost && q.sample.queue == queue);
    let Some((cluster, status)) = found else {
        return Err(Problem::not_found(format!(
            "no queue {:?} is known on {cluster}; it may have been deleted",
            markup::cut_end(queue.as_str(), 100)
        )));
    };
    let lines = queue_lines(&cluster.name, (&vhost, &queue));
    let charts = Charts::load(&state, &visit, &lines).await?;
    let content = QueuePage::of(&state, &visit, (cluster, status), charts);
    visit.page(&state, NavigationEntry::Queues, queue.as_str(), &content)
}

/// Takes a look at the head of an observed queue and shows what it found.
pub(crate) async fn look_at_queue(
    State(state): State<AppState>,
    Path(names): Path<(String, String, String)>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let place = place_named(names);
    let requester = accepts_cost(&fields).then(|| requester(&visit));
    let looked = state.observer.look(&place, requester.as_ref()).await?;
    let filter = format!("{} -status:gone", letters_of(&place));
    let list = look_parameters(&looked).with("filter", &filter);
    Ok(Redirect::to(&list.url("/dead-letters/list")).into_response())
}

/// The dead letters of one queue as a filter: other virtual hosts may have a queue of that name.
fn letters_of(place: &QueuePlace) -> String {
    let dlq = FilterField::Dlq.term(place.queue.as_str());
    let vhost = FilterField::Vhost.term(place.vhost.as_str());
    let cluster = FilterField::Cluster.term(place.cluster.as_str());
    format!("{dlq} {vhost} {cluster}")
}

impl QueuePage {
    fn of(
        state: &AppState,
        visit: &Visit,
        (cluster, queue): (&ClusterSnapshot, &QueueStatus),
        charts: Charts,
    ) -> Self {
        let sample = &queue.sample;
        let count = |value| markup::optional_count(value, NOT_GIVEN);
        Self {
            cluster: cluster.name.to_string(),
            vhost: sample.vhost.to_string(),
            queue: sample.queue.to_string(),
            role: role_badge(queue.role),
            role_means: role_means(queue.role),
            warning: warning(queue),
            stale: stale_notices(state, std::iter::once(cluster), visit.now),
            troubles: troubles(cluster, queue, visit.now),
            is_stale: is_stale(state, cluster, visit.now),
            ready: count(sample.ready),
            unacked: count(sample.unacked),
            consumers: count(sample.consumers),
            size: sample.bytes.map_or_else(|| "–".to_owned(), markup::bytes),
            publish: markup::rate(queue.rates.publish),
            settle: markup::rate(queue.rates.settle),
            redeliver: markup::rate(queue.rates.redeliver),
            charts,
            settings: settings(queue),
            bindings: bindings(cluster, queue),
            dead_letters_to: dead_letter_links(cluster, queue),
            dead_letters_from: dead_letters_from(cluster, queue),
            letters: list_url(&letters_of(&place(cluster, queue))),
            observe: observe_form(state, visit, cluster, queue),
            custody: custody(state, cluster, queue),
            not_read: not_read(state.intake.of_queue(&place(cluster, queue))),
            offer: offer(state, visit, &cluster.name, queue),
        }
    }
}

const fn role_means(role: QueueRole) -> &'static str {
    match role {
        QueueRole::Work => "An application's own queue. Redrive never reads it.",
        QueueRole::Retry => {
            "Messages wait here for their time to live and go back to work. Redrive never reads it."
        }
        QueueRole::Dlq => "Dead letters of a work queue arrive here and nobody consumes them.",
        QueueRole::Parking => "Messages that people set aside, as the configuration says.",
    }
}

fn known_custody(
    state: &AppState,
    cluster: &ClusterSnapshot,
    queue: &QueueStatus,
) -> Option<QueueCustody> {
    state.observer.custody(&place(cluster, queue))
}

fn place(cluster: &ClusterSnapshot, queue: &QueueStatus) -> QueuePlace {
    QueuePlace {
        cluster: cluster.name.clone(),
        vhost: queue.sample.vhost.clone(),
        queue: queue.sample.queue.clone(),
    }
}

fn not_read(intake: Option<IntakeState>) -> String {
    match intake {
        None | Some(IntakeState::Reading) => String::new(),
        Some(IntakeState::Waiting(reason)) => format!("It is not read yet: waiting {reason}."),
        Some(IntakeState::Refused(reason)) => format!("It is not read: {reason}."),
        Some(IntakeState::ReadingInPart(reason)) => format!("It is read in part: {reason}."),
        Some(IntakeState::Failing(reason)) => {
            format!("Reading it fails and is tried again: {reason}.")
        }
    }
}

fn custody(state: &AppState, cluster: &ClusterSnapshot, queue: &QueueStatus) -> String {
    let by_itself = match state.observer.observed_every(&place(cluster, queue)) {
        Some(every) => format!(
            " By the configuration it is looked at by itself every {}.",
            markup::duration(every)
        ),
        None => String::new(),
    };
    let sentences = match (queue.role, known_custody(state, cluster, queue)) {
        (_, Some(QueueCustody::Managed)) => {
            return "Managed: Redrive moves the messages into its store as they arrive; the store is the record."
                .to_owned();
        }
        (QueueRole::Dlq, _) if queue.sample.queue_type == QueueType::Stream => {
            "A stream: it is read by offset, from where the last read ended. Nothing in it changes, and its \
             dead letters can be replayed as they are."
        }
        (QueueRole::Dlq, _) => {
            "Observed: messages stay in the queue. A look reads the first ones and gives them back. To \
             search and replay at any size, manage the queue."
        }
        _ => return String::new(),
    };
    sentences.to_owned() + &by_itself
}

fn observe_form(
    state: &AppState,
    visit: &Visit,
    cluster: &ClusterSnapshot,
    queue: &QueueStatus,
) -> Option<Observe> {
    let is_managed = known_custody(state, cluster, queue) == Some(QueueCustody::Managed);
    let place = place(cluster, queue);
    let refusal = state.observer.refusal(&place);
    let window = state.config.dead_letters.observe_window;
    let label = match queue.sample.queue_type {
        QueueType::Stream => format!("Read the next {window} messages"),
        _ => format!("Look at the first {window} messages"),
    };
    (queue.role == QueueRole::Dlq && !is_managed).then(|| Observe {
        refusal: refusal.unwrap_or_default(),
        cost: state.observer.look_cost(&place),
        action: format!("{}/observe", visit.path),
        csrf: visit.csrf.clone(),
        label,
    })
}

fn bindings(cluster: &ClusterSnapshot, queue: &QueueStatus) -> Vec<Binding> {
    let detail = cluster.rabbitmq().into_iter();
    let leads_here = |binding: &&crate::domain::BindingSample| {
        binding.vhost == queue.sample.vhost
            && binding.destination == BindingDestination::Queue(queue.sample.queue.clone())
    };
    let named = detail
        .flat_map(|detail| &detail.bindings)
        .filter(leads_here);
    let binding = |binding: &crate::domain::BindingSample| Binding {
        exchange: match binding.exchange.as_str() {
            "" => "(default exchange)".to_owned(),
            name => name.to_owned(),
        },
        key: binding.routing_key.clone(),
    };
    named.map(binding).take(200).collect()
}

fn dead_letters_from(cluster: &ClusterSnapshot, queue: &QueueStatus) -> Vec<QueueLink> {
    let others = cluster
        .rabbitmq()
        .into_iter()
        .flat_map(|detail| &detail.queues);
    let sources = others.filter(|other| {
        other.sample.vhost == queue.sample.vhost
            && other.dead_letters_to.contains(&queue.sample.queue)
    });
    let link = |source: &QueueStatus| QueueLink {
        name: source.sample.queue.to_string(),
        href: queue_path(
            &cluster.name,
            source.sample.vhost.as_str(),
            source.sample.queue.as_str(),
        ),
    };
    sources.map(link).take(200).collect()
}

/// The effective settings, only those that are set.
fn settings(queue: &QueueStatus) -> Vec<Setting> {
    let sample = &queue.sample;
    let dead_letter = sample.dead_letter.as_ref().map(|target| {
        let exchange = match target.exchange.as_str() {
            "" => "default exchange",
            name => name,
        };
        match &target.routing_key {
            Some(key) => format!("{exchange}, key {key}"),
            None => format!("{exchange}, the message's own key"),
        }
    });
    let flags = [
        (sample.durable, "durable"),
        (sample.exclusive, "exclusive"),
        (sample.auto_delete, "auto-delete"),
        (sample.single_active_consumer, "single active consumer"),
    ];
    let flags: Vec<_> = flags
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| *name)
        .collect();
    let settings = [
        ("Type", Some(sample.queue_type.as_str().to_owned())),
        ("Flags", (!flags.is_empty()).then(|| flags.join(", "))),
        ("Dead-letter exchange", dead_letter),
        ("Time to live", sample.message_ttl.map(markup::duration)),
        (
            "Deleted when unused for",
            sample.expires.map(markup::duration),
        ),
        ("Most messages", sample.max_length.map(markup::thousands)),
        ("Most bytes", sample.max_length_bytes.map(markup::bytes)),
        ("When full", sample.overflow.clone()),
        ("Delivery limit", sample.delivery_limit.map(delivery_limit)),
    ];
    let set = settings
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    set.map(|(name, value)| Setting { name, value }).collect()
}

fn delivery_limit(limit: DeliveryLimit) -> String {
    match limit {
        DeliveryLimit::Unlimited => "unlimited".to_owned(),
        DeliveryLimit::Limited(limit) => limit.to_string(),
    }
}
