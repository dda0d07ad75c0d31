use askama::Template;

use crate::web::problem::Problem;

/// The content of a page that could not be given.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    status: u16,
    title: &'static str,
    detail: String,
}

impl ErrorPage {
    pub(crate) fn of(problem: &Problem) -> Self {
        Self {
            status: problem.status.as_u16(),
            title: problem.title,
            detail: problem.detail.clone(),
        }
    }
}
