use super::error::{WireError, error_text, is_passing};

/// Problems that a page can show; the rest is counted.
const SHOWN_PROBLEMS: usize = 20;

/// What a sample could not read. Holds few texts, however many a broker causes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Problems {
    shown: Vec<String>,
    more: usize,
    /// One of them is only that something moves between brokers.
    is_moving: bool,
}

impl Problems {
    /// Notes what an error code of the protocol left out.
    pub(super) fn push_code(&mut self, what: &str, code: i16) {
        self.is_moving |= is_passing(code);
        self.push(format!("{what}: {}", error_text(code)));
    }

    pub(super) fn push_error(&mut self, error: &WireError) {
        self.is_moving |= error.is_passing();
        self.push(error.to_string());
    }

    /// Whether the next sample may well have what is missing in this one.
    pub(super) const fn is_moving(&self) -> bool {
        self.is_moving
    }

    pub(super) fn push(&mut self, problem: String) {
        if self.shown.len() < SHOWN_PROBLEMS {
            self.shown.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.more += others.more;
        self.is_moving |= others.is_moving;
        for problem in others.shown {
            self.push(problem);
        }
    }

    pub(super) fn into_texts(mut self) -> Vec<String> {
        if self.more > 0 {
            self.shown.push(format!("and {} more", self.more));
        }
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_a_page_problems_are_counted() {
        let mut all = Problems::default();
        for broker in 0..2 {
            let mut problems = Problems::default();
            for group in 0..30 {
                problems.push(format!("broker {broker}, group {group}"));
            }
            all.extend(problems);
        }
        let texts = all.into_texts();
        assert_eq!(texts.len(), SHOWN_PROBLEMS + 1);
        assert_eq!(texts[0], "broker 0, group 0");
        assert_eq!(texts.last().unwrap(), "and 40 more");
    }
}
