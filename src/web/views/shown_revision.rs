//! Which revision of a dead letter its page shows, and the way to the others.

use crate::domain::{DeadLetter, RevisionNumber};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// A link to the page with one revision.
pub(super) struct RevisionLink {
    pub(super) label: String,
    pub(super) href: String,
}

/// What is shown, for a notice.
pub(super) struct RevisionLine {
    pub(super) words: String,
    pub(super) others: Vec<RevisionLink>,
}

/// The dead letter with the message of the revision that the URL names; that of the original if it names none.
pub(super) async fn as_shown(
    state: &AppState,
    visit: &Visit,
    letter: &DeadLetter,
) -> Result<DeadLetter, Problem> {
    let asked = visit.query.revision().map_err(Problem::bad_request)?;
    let mut revised = letter.clone();
    if let Some(edited) = asked.filter(|number| *number > RevisionNumber(0)) {
        revised.message = state.store.message(letter.summary.id, edited).await?;
        // What is known of the original body says nothing of an edited one.
        revised.body_omitted = None;
        revised.decoded.payload_absent = false;
    }
    Ok(revised)
}

/// None where there is only the original.
pub(super) fn revision_line(visit: &Visit, latest: RevisionNumber) -> Option<RevisionLine> {
    if latest == RevisionNumber(0) {
        return None;
    }
    let asked = visit.query.revision().ok().flatten();
    let shown = asked.unwrap_or(RevisionNumber(0));
    let newest = match asked {
        None => format!("Edit and Replay begin with the newest, revision {latest}."),
        Some(asked) if asked == latest => "It is the newest.".to_owned(),
        Some(_) => format!("Edit and Replay begin with it; the newest is revision {latest}."),
    };
    let near = [0, shown.0.saturating_sub(1), shown.0 + 1, latest.0];
    let mut others: Vec<_> = near
        .into_iter()
        .filter(|number| *number != shown.0 && *number <= latest.0)
        .collect();
    others.sort_unstable();
    others.dedup();
    let link = |number: u32| RevisionLink {
        label: name(number),
        href: visit
            .query
            .with("saved", "")
            .with("revision", &number.to_string())
            .url(&visit.path),
    };
    Some(RevisionLine {
        words: format!("This is {}. {newest}", name(shown.0)),
        others: others.into_iter().map(link).collect(),
    })
}

/// `the original`, `revision 2`.
pub(super) fn name(number: u32) -> String {
    match number {
        0 => "the original".to_owned(),
        edited => format!("revision {edited}"),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn line(query: &str, latest: u32) -> Option<(String, Vec<String>)> {
        let mut request = Request::new(());
        *request.uri_mut() = format!("/dead-letters/3{query}").parse().unwrap();
        let line = revision_line(&Visit::of(&request), RevisionNumber(latest))?;
        let others = line.others.into_iter().map(|link| link.href);
        Some((line.words, others.collect()))
    }

    #[test]
    fn the_line_names_what_is_shown_and_leads_to_the_others() {
        assert_eq!(line("", 0), None);
        let check = |query: &str, latest: u32, words: &str, others: &[&str]| {
            let (said, hrefs) = line(query, latest).unwrap();
            assert_eq!(said, words);
            let numbers = hrefs
                .iter()
                .map(|href| href.split_once("revision=").unwrap().1);
            assert_eq!(numbers.collect::<Vec<_>>(), others);
        };
        let newest = "This is the original. Edit and Replay begin with the newest, revision 2.";
        check("", 2, newest, &["1", "2"]);
        let earlier =
            "This is revision 1. Edit and Replay begin with it; the newest is revision 2.";
        check("?tab=headers&revision=1", 2, earlier, &["0", "2"]);
        check(
            "?revision=9",
            9,
            "This is revision 9. It is the newest.",
            &["0", "8"],
        );
    }
}
