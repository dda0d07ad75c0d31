use serde_json::{Value, json};

/// Which dead letters: by number or by filter.
#[derive(Debug, clap::Args)]
#[group(id = "selection", required = true, multiple = false)]
pub(super) struct Selection {
    /// Numbers of dead letters, as `list` gives them.
    ids: Vec<i64>,
    /// All that match, frozen now.
    #[arg(long)]
    filter: Option<String>,
}

impl Selection {
    /// As the API takes it.
    pub(super) fn body(&self) -> Value {
        match &self.filter {
            Some(filter) => json!({ "filter": filter }),
            None => json!({ "dead_letter_ids": self.ids }),
        }
    }
}
