//! `redrive dead-letters …` against a dashboard of the test.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::dashboard::Dashboard;

/// Runs the command with what a person types.
pub(crate) fn typed(dashboard: &Dashboard, arguments: &[&str], answer: &str) -> Output {
    tokio::task::block_in_place(|| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_redrive"))
            .args(["dead-letters", "--url", &dashboard.address])
            .args(arguments)
            .env("COLUMNS", "500")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that asks nothing may have closed it already.
        let _ = child.stdin.take().unwrap().write_all(answer.as_bytes());
        child.wait_with_output().unwrap()
    })
}

/// What a command prints that succeeds and asks nothing.
pub(crate) fn succeeds(dashboard: &Dashboard, arguments: &[&str]) -> String {
    agreed(dashboard, arguments, "").0
}

/// What a command prints that succeeds after that answer, and what it asks.
pub(crate) fn agreed(dashboard: &Dashboard, arguments: &[&str], answer: &str) -> (String, String) {
    let output = typed(dashboard, arguments, answer);
    let asked = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {asked}");
    (String::from_utf8(output.stdout).unwrap(), asked)
}

/// What a command says that is refused.
pub(crate) fn fails(dashboard: &Dashboard, arguments: &[&str]) -> String {
    refused(dashboard, arguments, "")
}

/// What a command says that is refused after that answer.
pub(crate) fn refused(dashboard: &Dashboard, arguments: &[&str], answer: &str) -> String {
    let output = typed(dashboard, arguments, answer);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}
