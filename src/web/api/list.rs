use serde::Serialize;

use crate::domain::{Filter, Timestamp};
use crate::store::{Page, PageRequest};
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Items of a page without `limit`.
const DEFAULT_LIMIT: u32 = 100;

/// The form of every list.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    /// Goes into `cursor` for the next page; null on the last one.
    pub(super) next_cursor: Option<String>,
}

impl<T> List<T> {
    pub(super) fn of<S>(page: Page<S>, convert: impl Fn(S) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(convert).collect(),
            next_cursor: page.next_cursor,
        }
    }

    /// A page of what is all in memory; the cursor is the index of the first item.
    pub(super) fn cut<S>(
        items: impl Iterator<Item = S>,
        request: &PageRequest,
        convert: impl Fn(S) -> T,
    ) -> Result<Self, Problem> {
        let from: usize = match &request.cursor {
            None => 0,
            Some(cursor) => cursor.parse().map_err(|_| {
                Problem::bad_request("the cursor is none that a page of this list gave out")
            })?,
        };
        let limit = request.limit as usize;
        let mut items: Vec<_> = items.skip(from).take(limit + 1).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        Ok(Self {
            items: items.into_iter().map(convert).collect(),
            next_cursor: more.then(|| (from + limit).to_string()),
        })
    }
}

/// `limit` and `cursor` of the URL.
pub(super) fn page_request(visit: &Visit) -> Result<PageRequest, Problem> {
    let limit = match visit.query.get("limit") {
        None => DEFAULT_LIMIT,
        Some(text) => match text.parse() {
            Ok(limit) if (1..=PageRequest::MAX_LIMIT).contains(&limit) => limit,
            _ => {
                return Err(Problem::bad_request(format!(
                    "limit must be a number from 1 to {}",
                    PageRequest::MAX_LIMIT
                )));
            }
        },
    };
    Ok(PageRequest {
        limit,
        cursor: visit.query.get("cursor").map(str::to_owned),
    })
}

/// `filter` of the URL.
pub(super) fn filter(visit: &Visit) -> Result<Filter, Problem> {
    let typed = visit.query.get("filter").unwrap_or("");
    Filter::parse(typed).map_err(|error| Problem::bad_request(error.shown_in(typed)))
}

/// A parameter of the URL that takes one of some words.
pub(super) fn word<T>(
    visit: &Visit,
    name: &str,
    parse: fn(&str) -> Option<T>,
    words: &[&str],
) -> Result<Option<T>, Problem> {
    let Some(text) = visit.query.get(name) else {
        return Ok(None);
    };
    let refused = || {
        let words = words.join(", ");
        Problem::bad_request(format!("{name} is one of {words}, and not {text:?}"))
    };
    parse(text).map(Some).ok_or_else(refused)
}

pub(super) fn time(at: Timestamp) -> String {
    at.to_rfc3339()
}
