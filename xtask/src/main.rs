//! Development commands of Redrive, run as `cargo xtask COMMAND`.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

mod brokers;
mod http;
mod kafka;
mod ports;
mod process;
mod provision;
mod rabbitmq;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  brokers       start real Kafka and RabbitMQ and print how tests find them
  down [PART]   stop everything that xtask started from this checkout, or only the named parts";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let workspace = Workspace::find()?;
    match words.as_slice() {
        ["brokers"] => brokers::start_and_print(&workspace)?,
        ["down", ..] => brokers::stop(&workspace, &arguments[1..])?,
        [] | ["help" | "--help" | "-h"] => println!("{USAGE}"),
        _ => bail!("unknown command `{}`\n\n{USAGE}", words.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}
