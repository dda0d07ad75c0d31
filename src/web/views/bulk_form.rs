//! What a person selects for a discard or a restore, as parameters of a URL or fields of a form.

use std::time::Duration;

use crate::domain::{BulkSelection, DeadLetterId, Filter};
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;

/// How long a request waits for its action before the page says that it goes on.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// From here on the number must be typed.
pub(super) const TYPED_FROM: u64 = 100;

/// A reason is a sentence or two.
const LONGEST_REASON: usize = 500;

/// The names of the parameters that select, for the forms that carry them on.
const SELECTING: [&str; 3] = ["id", "filter", "all"];

/// Named dead letters go before a filter; everything must be asked for in so many words.
pub(super) fn selection_of(parameters: &Parameters) -> Result<BulkSelection, Problem> {
    let ids: Result<Vec<_>, _> = parameters
        .all("id")
        .map(|id| id.parse().map(DeadLetterId).map_err(|_| id))
        .collect();
    let mut ids =
        ids.map_err(|id| Problem::bad_request(format!("{id:?} is no number of a dead letter")))?;
    ids.sort_unstable();
    ids.dedup();
    if !ids.is_empty() {
        return Ok(BulkSelection::DeadLetters(ids));
    }
    match (parameters.get("filter"), parameters.get("all")) {
        (Some(filter), _) => Filter::parse(filter)
            .map(BulkSelection::Filter)
            .map_err(|error| Problem::bad_request(error.to_string())),
        (None, Some(_)) => Ok(BulkSelection::Filter(Filter::default())),
        (None, None) => Err(Problem::bad_request(
            "nothing is selected; go back, tick some dead letters and try again",
        )),
    }
}

/// The reason as it will be kept, or why it is none.
pub(crate) fn checked_reason(text: &str) -> Result<String, String> {
    let reason = text.trim();
    if reason.is_empty() {
        return Err("say why: the reason stands beside each discarded dead letter".to_owned());
    }
    if reason.chars().count() > LONGEST_REASON {
        return Err(format!(
            "the reason is longer than {LONGEST_REASON} characters; shorten it"
        ));
    }
    Ok(reason.to_owned())
}

/// The selection as hidden fields.
pub(super) fn selecting_fields(parameters: &Parameters) -> Vec<(String, String)> {
    let values = SELECTING.iter().flat_map(|name| {
        let all = parameters.all(name).filter(|value| !value.is_empty());
        all.map(|value| ((*name).to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    });
    values.collect()
}

/// A link to the page that discards what a filter describes.
pub(super) fn discard_link(filter: &str) -> String {
    selecting(filter).url("/discards/new")
}

/// A link to the page that repairs what a filter describes.
pub(super) fn repair_link(filter: &str) -> String {
    selecting(filter).url("/repairs/new")
}

/// The parameters that select by a filter.
fn selecting(filter: &str) -> Parameters {
    if filter.trim().is_empty() {
        Parameters::default().with("all", "1")
    } else {
        Parameters::default().with("filter", filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<BulkSelection, String> {
        selection_of(&Parameters::parse(query.as_bytes())).map_err(|problem| problem.detail)
    }

    #[test]
    fn nothing_is_discarded_that_was_not_asked_for_in_so_many_words() {
        assert!(parse("").unwrap_err().contains("nothing is selected"));
        assert!(parse("filter=").is_err());
        assert!(parse("filter=colour:red").is_err());
        assert!(parse("id=x").is_err());
        let all = BulkSelection::Filter(Filter::default());
        assert_eq!(parse("all=1").unwrap(), all);
        let named = BulkSelection::DeadLetters(vec![DeadLetterId(1), DeadLetterId(3)]);
        assert_eq!(parse("filter=x&id=3&id=1&id=3").unwrap(), named);
    }

    #[test]
    fn a_reason_says_something() {
        assert!(checked_reason(" \n").is_err());
        assert!(
            checked_reason(&"x".repeat(501))
                .unwrap_err()
                .contains("500")
        );
        assert_eq!(checked_reason(" known bug ").unwrap(), "known bug");
    }
}
