//! The form of one decision about many unknown replays, on the page of a job and on that of all jobs.

use super::replay_form::start_time;
use crate::domain::Timestamp;
use crate::replay::SeenUnknown;
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;

/// From here on the number must be typed.
const TYPED_FROM: u64 = 100;

/// The form as it is shown.
pub(super) struct DecisionForm {
    pub(super) action: String,
    pub(super) filter: String,
    pub(super) count: u64,
    pub(super) must_type: bool,
    /// The moment that the decision names.
    pub(super) as_of: String,
}

impl DecisionForm {
    pub(super) fn new(action: String, filter: &str, count: u64, now: Timestamp) -> Self {
        Self {
            action,
            filter: filter.to_owned(),
            count,
            must_type: count > TYPED_FROM,
            as_of: now.to_rfc3339(),
        }
    }
}

/// What the person saw who sent the form. A number that was not typed is a conflict.
pub(super) fn seen_unknown(fields: &Parameters) -> Result<SeenUnknown, Problem> {
    let count = fields.get("count").unwrap_or("");
    let count: u64 = count
        .parse()
        .map_err(|_| Problem::bad_request(format!("{count:?} is no number of unknown replays")))?;
    let typed = fields.get("typed").unwrap_or("").replace([',', ' '], "");
    if count > TYPED_FROM && typed != count.to_string() {
        return Err(Problem::conflict(format!(
            "type {count} into the field beside the buttons to decide about all"
        )));
    }
    Ok(SeenUnknown {
        through: start_time(fields.get("as_of").unwrap_or(""))?,
        count: Some(count),
    })
}
