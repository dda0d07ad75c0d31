//! The patterns of topic exchanges: words between dots, `*` and `#`.

/// AMQP cannot carry a longer routing key.
const MAX_KEY_BYTES: usize = 255;

pub(super) fn is_literal(pattern: &str) -> bool {
    !pattern.split('.').any(|word| word == "*" || word == "#")
}

/// Topic matching: `*` is one word, `#` any number of words, also none. Quadratic at worst.
pub(super) fn topic_matches(pattern: &str, key: &str) -> bool {
    if pattern.len() > MAX_KEY_BYTES || key.len() > MAX_KEY_BYTES {
        return false;
    }
    let key: Vec<&str> = words(key).collect();
    // `reached[n]`: the pattern so far matches the first n words of the key.
    let mut reached = vec![false; key.len() + 1];
    reached[0] = true;
    for word in words(pattern) {
        let mut next = vec![false; key.len() + 1];
        let mut any_before = false;
        for position in 0..=key.len() {
            any_before |= reached[position];
            next[position] = match word {
                "#" => any_before,
                "*" => position > 0 && reached[position - 1],
                _ => position > 0 && reached[position - 1] && key[position - 1] == word,
            };
        }
        reached = next;
    }
    reached[key.len()]
}

/// The empty key has no word, as in the broker.
fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(|_| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_match_by_words() {
        let check = |pattern: &str, key: &str, expected: bool| {
            assert_eq!(topic_matches(pattern, key), expected, "{pattern} {key}");
        };
        check("order.*", "order.created", true);
        check("order.*", "order.created.eu", false);
        check("order.*", "order", false);
        check("order.#", "order", true);
        check("order.#", "order.created.eu", true);
        check("#.eu", "order.created.eu", true);
        check("#.eu", "eu", true);
        check("#", "", true);
        check("*", "", false);
        check("", "", true);
        check("#.#.*", "a", true);
        check("a.*.#.c", "a.b.c", true);
        check("a.*.#.c", "a.c", false);
        check("order.created", "order.created", true);
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = vec!["#"; 127].join(".") + ".x";
        assert!(!topic_matches(&pattern, &vec!["a"; 127].join(".")));
    }
}
