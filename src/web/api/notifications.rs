use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::list::time;
use crate::config::NotificationConfig;
use crate::store::TargetStatus;
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::{kind_name, queue_test};
use crate::web::visit::Visit;

/// How a webhook stands. Its URL and its secret are not told.
#[derive(Debug, Serialize)]
pub(super) struct Notification {
    name: String,
    kind: &'static str,
    waiting: u64,
    last_delivered_at: Option<String>,
    given_up: u64,
    problem: Option<String>,
    failed_attempts: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Notifications {
    items: Vec<Notification>,
}

pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Notifications>, Problem> {
    let mut items = Vec::new();
    for config in &state.config.notifications {
        let status = state.store.notification_status(&config.name()).await?;
        items.push(Notification::of(config, status));
    }
    Ok(Json(Notifications { items }))
}

/// Queues a test message.
pub(super) async fn test(
    State(state): State<AppState>,
    Path(name): Path<String>,
    visit: Visit,
) -> Result<StatusCode, Problem> {
    queue_test(&state, &visit, &name).await?;
    Ok(StatusCode::ACCEPTED)
}

impl Notification {
    fn of(config: &NotificationConfig, status: TargetStatus) -> Self {
        let (problem, failed_attempts) = match status.failing {
            Some((problem, _, attempts)) => (Some(problem), attempts),
            None => (None, 0),
        };
        Self {
            name: config.name(),
            kind: kind_name(config.kind),
            waiting: status.waiting,
            last_delivered_at: status.last_delivered.map(time),
            given_up: status.given_up,
            problem,
            failed_attempts,
        }
    }
}
