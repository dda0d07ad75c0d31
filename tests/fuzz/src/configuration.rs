//! A configuration file, after lines such as `REDRIVE_HTTP__LISTEN=127.0.0.1:1` that stand for variables.
//! What is refused says why without telling secrets; what is taken works on a dead letter.

use redrive::config::Config;
use redrive::dead_letters::from_export;

use crate::dialects::{NOW, exported};
use crate::letters;

const LETTER: &[u8] = b"kafka orders.dlq\nx-error-class: com.acme.Timeout\nx-error-message: order 4711\n\n{\"eventType\":\"OrderCreated\"}";

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let (variables, file) = variables_of(text);
    let read = || Config::parse(file, variables.iter().cloned());
    let config = match read() {
        Ok(config) => config,
        Err(error) => {
            let again = read().expect_err("it was refused before");
            assert_eq!(again.to_string(), error.to_string());
            return;
        }
    };
    let printed = format!("{config:?}");
    assert_eq!(
        printed,
        format!("{:?}", read().expect("it was read before"))
    );
    for rabbitmq in &config.rabbitmq {
        tells_no_password(&printed, rabbitmq.amqp_url.expose());
        tells_no_password(&printed, rabbitmq.management_url.expose());
    }
    let (position, message) = letters::read(LETTER);
    let letter = from_export(&exported(&position, &message), &config, NOW);
    assert!(!letter.classification.group.as_str().is_empty());
    assert!(letter.classification.title.len() <= 8 * 1024 + file.len() * LETTER.len());
}

/// The leading lines that set a variable, and the rest.
fn variables_of(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut variables = Vec::new();
    while text.starts_with("REDRIVE_") {
        let (line, after) = text.split_once('\n').unwrap_or((text, ""));
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        variables.push((name.to_owned(), value.to_owned()));
        text = after;
    }
    (variables, text)
}

/// Passwords that are part of ordinary words would be found anywhere.
fn tells_no_password(printed: &str, url: &str) {
    let authority = url.split("://").nth(1).unwrap_or_default();
    let (login, _) = authority.rsplit_once('@').unwrap_or_default();
    let (_, password) = login.split_once(':').unwrap_or_default();
    if password.len() >= 12 {
        assert!(!printed.contains(password), "a password is told");
    }
}
