/// Problems that a page can show; the rest is counted.
const SHOWN_PROBLEMS: usize = 20;

/// What a sample could not read. Holds few texts, however many a broker causes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Problems {
    shown: Vec<String>,
    more: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: String) {
        if self.shown.len() < SHOWN_PROBLEMS {
            self.shown.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.more += others.more;
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
