//! One visit of one browser: what every page needs to know about its request, and the middleware that
//! finds it out and dresses failures as a page or as problem+json.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use uuid::Uuid;

use super::AppState;
use super::body_limit::BodyLimit;
use super::listener::Peer;
use super::parameters::Parameters;
use super::problem::Problem;
use super::security::proofs_match;
use super::views::{self, NavigationEntry};
use crate::domain::Timestamp;

/// Who acts while nobody has to log in.
pub(crate) const ANONYMOUS: &str = "anonymous";

const CSRF_COOKIE: &str = "redrive_csrf";
pub(crate) const THEME_COOKIE: &str = "redrive_theme";

/// Columns of the list of dead letters, between dots.
pub(crate) const COLUMNS_COOKIE: &str = "redrive_columns";

/// The script asks with this header for the parts that change instead of the whole page.
const LIVE_HEADER: &str = "redrive-live";

/// What a handler knows about its request beside its path.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) now: Timestamp,
    pub(crate) path: String,
    pub(crate) query: Parameters,
    /// The peer's IP address; empty in tests without a connection.
    pub(crate) address: String,
    /// Goes into every form; the browser holds the same in a cookie.
    pub(crate) csrf: String,
    csrf_is_new: bool,
    pub(crate) theme: Option<Theme>,
    /// The columns of the list of dead letters that this browser keeps.
    pub(crate) columns: Option<String>,
    is_live_update: bool,
}

/// A theme that was chosen; without one the page follows the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "light" => Some(Self::Light),
            "dark" => Some(Self::Dark),
            _ => None,
        }
    }
}

impl Visit {
    pub(crate) fn of<B>(request: &axum::http::Request<B>) -> Self {
        let headers = request.headers();
        let known = cookie(headers, CSRF_COOKIE).filter(|token| Uuid::try_parse(token).is_ok());
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        Self {
            now: Timestamp::now(),
            path: request.uri().path().to_owned(),
            query: Parameters::parse(request.uri().query().unwrap_or("").as_bytes()),
            address: peer
                .map(|peer| peer.0.0.ip().to_string())
                .unwrap_or_default(),
            csrf_is_new: known.is_none(),
            csrf: known.map_or_else(|| Uuid::new_v4().simple().to_string(), str::to_owned),
            theme: cookie(headers, THEME_COOKIE).and_then(Theme::parse),
            columns: cookie(headers, COLUMNS_COOKIE).map(str::to_owned),
            is_live_update: headers.contains_key(LIVE_HEADER),
        }
    }

    /// The page around `content`, or for the script only what changes.
    pub(crate) fn page(
        &self,
        state: &AppState,
        entry: NavigationEntry,
        title: &str,
        content: &impl Template,
    ) -> Result<Response, Problem> {
        let content = content.render()?;
        let frame = views::Frame::new(state, self, entry, title, content);
        let html = if self.is_live_update {
            frame.live_parts()?
        } else {
            frame.render()?
        };
        let mut response = axum::response::Html(html).into_response();
        if self.csrf_is_new && !self.is_live_update {
            self.give_csrf_cookie(&mut response);
        }
        Ok(response)
    }

    fn give_csrf_cookie(&self, response: &mut Response) {
        let cookie = format!(
            "{CSRF_COOKIE}={}; Path=/; HttpOnly; SameSite=Lax",
            self.csrf
        );
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }

    /// The URL of this page with one parameter changed.
    pub(crate) fn url_with(&self, name: &str, value: &str) -> String {
        self.query.with(name, value).url(&self.path)
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Redrive failed",
                "the request was not prepared",
            )
        })
    }
}

/// The fields of a form whose token matches the browser's cookie.
pub(crate) struct CheckedForm(pub(crate) Parameters);

impl<S: Send + Sync> FromRequest<S> for CheckedForm {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, state).await?;
        let limit = BodyLimit::of(&parts.extensions);
        let request = Request::from_parts(parts, body);
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => limit.exceeded("The form is too large"),
            status => Problem::new(status, "The form did not arrive", rejection.body_text()),
        })?;
        let fields = Parameters::parse(&body);
        let sent = fields.get("csrf").unwrap_or("");
        if visit.csrf_is_new || !proofs_match(sent, &visit.csrf) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "The form does not belong to this browser",
                "its token does not match the cookie; allow cookies for this address, go back, \
                 reload the page and send the form again",
            ));
        }
        Ok(Self(fields))
    }
}

/// Prepares the [`Visit`], and turns a [`Problem`] into the form that the client reads.
pub(crate) async fn accompany(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let visit = Visit::of(&request);
    request.extensions_mut().insert(visit.clone());
    let response = next.run(request).await;
    match response.extensions().get::<Problem>() {
        None => response,
        Some(problem) if visit.path.starts_with("/api/") => problem_json(problem),
        Some(problem) => problem_page(&state, &visit, problem),
    }
}

fn problem_json(problem: &Problem) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status.as_u16(),
        "detail": problem.detail,
    });
    let mut response = (problem.status, axum::Json(body)).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}

fn problem_page(state: &AppState, visit: &Visit, problem: &Problem) -> Response {
    let content = views::ErrorPage::of(problem);
    match visit.page(state, NavigationEntry::None, problem.title, &content) {
        Ok(mut response) => {
            *response.status_mut() = problem.status;
            response
        }
        Err(worse) => (worse.status, worse.detail).into_response(),
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
