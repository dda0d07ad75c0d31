//! Gives a queue into custody after saying what that means, and ends it.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::custody::requester;
use super::frame::NavigationEntry;
use super::queues::queue_path;
use crate::config::QueueCustody;
use crate::domain::{
    ClusterName, QueueName, QueuePlace, QueueRole, QueueStatus, QueueType, VhostName,
};
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

/// What managing a queue means, and the button that does it.
#[derive(Template)]
#[template(path = "queue_custody.html")]
struct QueueCustodyPage {
    queue: String,
    back: String,
    action: String,
    csrf: String,
    /// Why it is not possible; empty if it is.
    refusal: String,
}

/// What the page of a queue offers about its custody.
pub(super) enum CustodyOffer {
    None,
    /// A link to the page that explains it.
    Manage {
        href: String,
    },
    /// A form that ends it.
    StopManaging {
        action: String,
        csrf: String,
    },
}

pub(super) fn offer(
    state: &AppState,
    visit: &Visit,
    cluster: &ClusterName,
    queue: &QueueStatus,
) -> CustodyOffer {
    let sample = &queue.sample;
    let place = QueuePlace {
        cluster: cluster.clone(),
        vhost: sample.vhost.clone(),
        queue: sample.queue.clone(),
    };
    let href = href(&place);
    if state.observer.is_managed_by_page(&place) {
        let csrf = visit.csrf.clone();
        return CustodyOffer::StopManaging { action: href, csrf };
    }
    let is_free = state.observer.custody(&place).is_none();
    let fits = queue.role == QueueRole::Dlq && sample.queue_type != QueueType::Stream;
    if is_free && fits {
        CustodyOffer::Manage { href }
    } else {
        CustodyOffer::None
    }
}

fn href(place: &QueuePlace) -> String {
    format!("{}/custody", page_of(place))
}

fn page_of(place: &QueuePlace) -> String {
    queue_path(&place.cluster, place.vhost.as_str(), place.queue.as_str())
}

pub(crate) async fn explain_custody(
    State(state): State<AppState>,
    Path(names): Path<(String, String, String)>,
    visit: Visit,
) -> Result<Response, Problem> {
    let place = place(names);
    let content = QueueCustodyPage {
        queue: place.queue.to_string(),
        back: page_of(&place),
        action: href(&place),
        csrf: visit.csrf.clone(),
        refusal: state.observer.manage_refusal(&place).unwrap_or_default(),
    };
    visit.page(&state, NavigationEntry::Queues, "Manage a queue", &content)
}

pub(crate) async fn change_custody(
    State(state): State<AppState>,
    Path(names): Path<(String, String, String)>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let place = place(names);
    let custody = parse_custody(fields.get("custody").unwrap_or(""))?;
    let back = page_of(&place);
    set_custody(&state, &visit, place, custody).await?;
    Ok(Redirect::to(&back).into_response())
}

/// `managed` or `observe`, as the configuration calls them.
pub(crate) fn parse_custody(word: &str) -> Result<QueueCustody, Problem> {
    match word {
        "managed" => Ok(QueueCustody::Managed),
        "observe" => Ok(QueueCustody::Observe),
        _ => Err(Problem::bad_request(format!(
            "custody is {word:?}; it must be managed or observe"
        ))),
    }
}

pub(crate) async fn set_custody(
    state: &AppState,
    visit: &Visit,
    place: QueuePlace,
    custody: QueueCustody,
) -> Result<(), Problem> {
    let requester = requester(visit);
    match custody {
        QueueCustody::Managed => state.observer.manage(place, &requester).await?,
        QueueCustody::Observe => state.observer.stop_managing(&place, &requester).await?,
    }
    Ok(())
}

pub(crate) fn place((cluster, vhost, queue): (String, String, String)) -> QueuePlace {
    QueuePlace {
        cluster: ClusterName::new(cluster),
        vhost: VhostName::new(vhost),
        queue: QueueName::new(queue),
    }
}
