//! Replaces what varies in an error message, so that messages of one cause read the same:
//! `order 4711 of ann@acme.com` becomes `order {number} of {email}`.
//!
//! One scan from left to right with bounded look-ahead, so the time is linear in a hostile message.
//! Replacing too little splits a group and replacing too much joins two; a word is only touched where
//! its shape says that a machine made it.

/// Causes differ at their beginning. The limit is on the output, which is the same for messages that
/// differ only in what varies; the limit on the input only bounds the work.
const LONGEST_OUTPUT: usize = 1_000;
const LONGEST_INPUT: usize = 8_000;
/// No host name, scheme or address that is meant here is longer.
const LONGEST_LOOK_AHEAD: usize = 255;
const LONGEST_SCHEME: usize = 20;

/// Units that stay beside their number, so that `250ms` and `250 items` remain different.
const UNITS: [&str; 23] = [
    "ns", "us", "ms", "s", "sec", "m", "min", "h", "d", "b", "kb", "mb", "gb", "tb", "kib", "mib",
    "gib", "px", "x", "st", "nd", "rd", "th",
];

/// Last labels by which a dotted word without a port is known as a host.
const HOST_ENDINGS: [&str; 17] = [
    "com",
    "net",
    "org",
    "io",
    "dev",
    "cloud",
    "internal",
    "local",
    "localdomain",
    "lan",
    "svc",
    "intranet",
    "corp",
    "aws",
    "eu",
    "de",
    "uk",
];

/// Last labels that make `name.ending:12` a place in a source file, not a host with its port.
const SOURCE_FILES: [&str; 18] = [
    "java", "kt", "scala", "groovy", "js", "mjs", "ts", "tsx", "py", "rb", "go", "rs", "cs", "php",
    "json", "xml", "yaml", "yml",
];

/// The message with its variable parts replaced and its white space collapsed.
pub(super) fn parameterise(message: &str) -> String {
    let end = message.floor_char_boundary(LONGEST_INPUT.min(message.len()));
    let mut scanner = Scanner {
        rest: message[..end].trim(),
        output: String::new(),
    };
    while !scanner.rest.is_empty() && scanner.output.len() < LONGEST_OUTPUT {
        scanner.step();
    }
    scanner.output
}

struct Scanner<'a> {
    rest: &'a str,
    output: String,
}

impl Scanner<'_> {
    /// Consumes at least one character. It is only called at the beginning of a word or outside one.
    fn step(&mut self) {
        let Some(first) = self.rest.chars().next() else {
            return;
        };
        if first.is_whitespace() {
            self.rest = self.rest.trim_start();
            self.output.push(' ');
        } else if self.skips_sign(first) {
            self.consume(1);
        } else if let Some((length, name)) = variable_part(self.rest) {
            self.output.push_str(name);
            self.consume(length);
        } else if first.is_ascii_alphanumeric() {
            self.word();
        } else {
            self.output.push(first);
            self.consume(first.len_utf8());
        }
    }

    fn consume(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
    }

    /// `-5` varies as `5` does, but the hyphen of `order-5` is part of a name.
    fn skips_sign(&self, first: char) -> bool {
        let before = self.output.chars().next_back();
        matches!(first, '-' | '+')
            && self.rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
            && before.is_none_or(|c| c.is_whitespace() || matches!(c, '=' | '(' | '[' | ':' | ','))
    }

    /// A run of ASCII letters and digits.
    fn word(&mut self) {
        let length = span(self.rest, |c| c.is_ascii_alphanumeric());
        let word = self.rest.get(..length).unwrap_or_default();
        if is_hexadecimal(word) {
            self.output.push_str("{hex}");
            self.consume(length);
        } else if word.starts_with(|c: char| c.is_ascii_digit()) {
            self.number(word);
        } else {
            self.output.push_str(&letters_first(word));
            self.consume(length);
        }
    }

    /// A word that starts with digits, with the decimal places that follow it.
    fn number(&mut self, word: &str) {
        let digits = span(word, |c| c.is_ascii_digit());
        let suffix = word.get(digits..).unwrap_or_default();
        if !suffix.is_empty() && !is_unit(suffix) {
            let name = if is_made_up(word) { "{id}" } else { "{number}" };
            self.output.push_str(name);
            return self.consume(word.len());
        }
        self.output.push_str("{number}");
        self.consume(digits);
        while let Some(more) = more_places(self.rest) {
            self.consume(more);
        }
        let unit = span(self.rest, |c| c.is_ascii_alphabetic());
        let unit = self.rest.get(..unit).unwrap_or_default();
        self.output.push_str(unit);
        self.consume(unit.len());
    }
}

/// How many characters (all ASCII, so bytes) at the beginning of the text satisfy the predicate.
fn span(text: &str, predicate: impl Fn(char) -> bool) -> usize {
    text.bytes()
        .take_while(|byte| byte.is_ascii() && predicate(char::from(*byte)))
        .count()
}

fn bounded_span(text: &str, predicate: impl Fn(char) -> bool) -> usize {
    let end = text.floor_char_boundary(LONGEST_LOOK_AHEAD.min(text.len()));
    span(&text[..end], predicate)
}

/// The length of `.56` or `,234` at the beginning of the text.
fn more_places(text: &str) -> Option<usize> {
    let after = text.strip_prefix(['.', ','])?;
    let digits = span(after, |c| c.is_ascii_digit());
    (digits > 0).then_some(1 + digits)
}

fn is_unit(suffix: &str) -> bool {
    UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(suffix))
}

/// `0x1f`, or eight and more hexadecimal digits with at least one digit and one letter.
fn is_hexadecimal(word: &str) -> bool {
    let all_hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return !digits.is_empty() && all_hexadecimal(digits);
    }
    word.len() >= 8
        && all_hexadecimal(word)
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Ten and more letters mixed with two and more digits: a ULID, a token, a key.
fn is_made_up(word: &str) -> bool {
    word.len() >= 10 && word.bytes().filter(u8::is_ascii_digit).count() >= 2
}

/// A word that starts with a letter: `utf8` and `v2` are names, `order4711` holds a number.
fn letters_first(word: &str) -> String {
    let letters = span(word, |c| c.is_ascii_alphabetic());
    let digits = word.get(letters..).unwrap_or_default();
    let is_name_and_number = digits.len() >= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_name_and_number {
        format!("{}{{number}}", &word[..letters])
    } else if is_made_up(word) {
        "{id}".to_owned()
    } else {
        word.to_owned()
    }
}

/// A part that spans several words, with its length in bytes.
fn variable_part(text: &str) -> Option<(usize, &'static str)> {
    url(text)
        .map(|length| (length, "{url}"))
        .or_else(|| email(text).map(|length| (length, "{email}")))
        .or_else(|| uuid(text).map(|length| (length, "{uuid}")))
        .or_else(|| date(text).map(|length| (length, "{date}")))
        .or_else(|| host(text).map(|length| (length, "{host}")))
}

fn url(text: &str) -> Option<usize> {
    let scheme = bounded_span(text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-')
    });
    let address = text.get(scheme..)?.strip_prefix("://")?;
    if !(1..=LONGEST_SCHEME).contains(&scheme)
        || !text.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        return None;
    }
    let ends = |c: char| c.is_whitespace() || "\"'`<>()[]{}|,;".contains(c);
    let address = address.split(ends).next()?;
    let address = address.trim_end_matches(['.', ':', '!', '?']);
    Some(scheme + "://".len() + address.len())
}

fn email(text: &str) -> Option<usize> {
    let local = bounded_span(text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-')
    });
    let after = text.get(local..)?.strip_prefix('@')?;
    let domain = bounded_span(after, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '-')
    });
    let domain = after.get(..domain)?.trim_end_matches(['.', '-']);
    let is_domain = domain.contains('.') && domain.starts_with(|c: char| c.is_ascii_alphanumeric());
    (local > 0 && is_domain).then_some(local + 1 + domain.len())
}

fn uuid(text: &str) -> Option<usize> {
    matches_shape(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx").filter(|end| ends_word(text, *end))
}

fn date(text: &str) -> Option<usize> {
    let date = matches_shape(text, "0000-00-00").or_else(|| matches_shape(text, "0000/00/00"))?;
    let end = time_of_day(text.get(date..)?).map_or(date, |time| date + time);
    ends_word(text, end).then_some(end)
}

/// The length of ` 12:30`, `T12:30:45.123Z` or `T12:30:45+01:00`.
fn time_of_day(text: &str) -> Option<usize> {
    let mut end = 1 + matches_shape(text.strip_prefix(['T', 't', ' '])?, "00:00")?;
    let mut rest = text.get(end..)?;
    if let Some(seconds) = matches_shape(rest, ":00") {
        let fraction = more_places(rest.get(seconds..)?).unwrap_or(0);
        end += seconds + fraction;
        rest = text.get(end..)?;
    }
    let zone = rest
        .strip_prefix(['Z', 'z'])
        .map(|_| 1)
        .or_else(|| matches_shape(rest, "±00:00"))
        .or_else(|| matches_shape(rest, "±0000"))
        .unwrap_or(0);
    Some(end + zone)
}

/// Matches `0` to a digit, `x` to a hexadecimal digit, `±` to a sign, and all else to itself.
fn matches_shape(text: &str, shape: &str) -> Option<usize> {
    let mut bytes = text.bytes();
    for expected in shape.chars() {
        let byte = bytes.next()?;
        let fits = match expected {
            '0' => byte.is_ascii_digit(),
            'x' => byte.is_ascii_hexdigit(),
            '±' => matches!(byte, b'+' | b'-'),
            literal => char::from(byte) == literal,
        };
        if !fits {
            return None;
        }
    }
    Some(shape.chars().count())
}

fn ends_word(text: &str, end: usize) -> bool {
    text.as_bytes()
        .get(end)
        .is_none_or(|next| !next.is_ascii_alphanumeric())
}

fn host(text: &str) -> Option<usize> {
    ipv4(text)
        .or_else(|| ipv6(text))
        .or_else(|| host_name(text))
}

fn ipv4(text: &str) -> Option<usize> {
    let length = bounded_span(text, |c| c.is_ascii_digit() || c == '.');
    let address = text.get(..length)?.trim_end_matches('.');
    address.parse::<std::net::Ipv4Addr>().ok()?;
    ends_word(text, address.len()).then(|| address.len() + port(text.get(address.len()..)))
}

fn ipv6(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('[').unwrap_or(text);
    let length = bounded_span(inner, |c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
    let address = inner.get(..length)?.trim_end_matches('.');
    let looks_like_one = address.bytes().any(|byte| byte.is_ascii_digit());
    if !looks_like_one || address.parse::<std::net::Ipv6Addr>().is_err() {
        return None;
    }
    if inner.len() == text.len() {
        return ends_word(text, address.len()).then_some(address.len());
    }
    let closed = 1 + address.len() + 1;
    (inner.as_bytes().get(address.len()) == Some(&b']')).then(|| closed + port(text.get(closed..)))
}

fn host_name(text: &str) -> Option<usize> {
    let length = bounded_span(text, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-')
    });
    let name = text.get(..length)?.trim_end_matches(['.', '-']);
    let last_label = name.rsplit('.').next()?;
    let has_letters = |label: &str| label.contains(|c: char| c.is_ascii_lowercase());
    if name.contains("..") || !has_letters(last_label) || !ends_word(text, name.len()) {
        return None;
    }
    let is_dotted = name.len() > last_label.len();
    let port = port(text.get(name.len()..));
    let has_digit = name.bytes().any(|byte| byte.is_ascii_digit());
    let with_port = port > 0 && (is_dotted || has_digit) && !SOURCE_FILES.contains(&last_label);
    let by_ending = is_dotted && HOST_ENDINGS.contains(&last_label);
    (with_port || by_ending).then_some(name.len() + port)
}

/// The length of `:8080` at the beginning of the text, or 0.
fn port(text: Option<&str>) -> usize {
    let after = text.and_then(|text| text.strip_prefix(':'));
    let digits = after.map_or(0, |after| span(after, |c| c.is_ascii_digit()));
    if (2..=5).contains(&digits) {
        1 + digits
    } else {
        0
    }
}

#[cfg(test)]
mod tests;
