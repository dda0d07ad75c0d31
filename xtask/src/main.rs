//! Development commands of Redrive, run as `cargo xtask COMMAND`.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

mod bench;
mod brokers;
mod collector;
mod demo;
mod fuzz;
mod http;
mod interrupt;
mod kafka;
mod ports;
mod process;
mod prometheus;
mod provision;
mod rabbitmq;
mod report;
mod test;
mod trial;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::brokers::Releases;
use crate::test::Matrix;
use crate::workspace::Workspace;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  demo                  start brokers, sample workload, dashboard and Prometheus until Ctrl-C
  demo --detach         the same, but return and leave them running
  demo repair-gateway   let the payments of the sample workload succeed
  demo break-gateway    let some of them fail again
  test                  run everything that continuous integration checks
  test --brokers all    the same, and the tests of each broker on its other releases (root)
  test --rabbitmq       only the tests of RabbitMQ, on 3.10, 4.0 and 4.3 (root)
  test --kafka          only the tests of Kafka, on 4.4, 3.9 and 2.8
  bench sampling [GROUP]  what looking at brokers costs: kafka, linearity, rabbitmq, demo, or all of these
  bench dead-letters [GROUP]  what dead letters cost: intake, search, replay, or all of these
  bench traces [GROUP]    what following events costs: read, store, million, or all of these
  trial replay          kill, restart and cut while replays run, and count what is lost or sent twice;
                        with --short some minutes, with --seed N the choices of that run; what was
                        interrupted goes on where it was
  trial export          send traces to a real OpenTelemetry Collector by both protocols (Go)
  fuzz [TARGET]         give libFuzzer what may hold any bytes, ten minutes a target; with
                        --minutes N as long as that
  brokers               start real Kafka and RabbitMQ and print how tests find them
  brokers --rabbitmq 4.3  the same with RabbitMQ 4.0 or 4.3 (root)
  brokers --kafka 2.8   the same with Kafka 2.8 or 3.9
  brokers --cluster     start three Kafka nodes with TLS and SASL
  kafka-node N ACTION   stop, kill or start one of these
  brokers --rabbitmq-cluster  start two RabbitMQ nodes that form a cluster
  rabbitmq-node N ACTION  stop, kill or start one of these
  down [PART]...        stop what xtask started from this checkout, or only the named parts";

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

/// What `brokers --kafka VERSION` and `brokers --rabbitmq VERSION` mean.
fn releases(kind: &str, version: &str) -> Result<Releases> {
    let mut releases = brokers::SHARED;
    match kind {
        "--kafka" => releases.kafka = kafka::older(version)?,
        "--rabbitmq" => releases.rabbitmq = rabbitmq::newer(version)?,
        _ => bail!(
            "brokers does not know `{kind}`: --kafka, --rabbitmq, --cluster or --rabbitmq-cluster"
        ),
    }
    Ok(releases)
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let workspace = Workspace::find()?;
    let outcome = match words.as_slice() {
        ["test"] => return test::run(&workspace, Matrix::Shared),
        ["test", "--brokers", "all"] => return test::run(&workspace, Matrix::All),
        ["test", "--rabbitmq"] => return test::run(&workspace, Matrix::RabbitMq),
        ["test", "--kafka"] => return test::run(&workspace, Matrix::Kafka),
        ["demo"] => demo::run_in_foreground(&workspace),
        ["demo", "--detach"] => demo::run_detached(&workspace),
        ["demo", "repair-gateway"] => demo::set_gateway(&workspace, "repair"),
        ["demo", "break-gateway"] => demo::set_gateway(&workspace, "break"),
        ["bench", name, arguments @ ..] => bench::run(&workspace, name, arguments),
        ["trial", "export"] => collector::run(&workspace),
        ["trial", "replay", options @ ..] => trial::run(&workspace, options),
        ["trial", "broker", broker, action] => trial::control(&workspace, broker, action),
        ["fuzz", arguments @ ..] => fuzz::run(&workspace, arguments),
        ["brokers"] => brokers::start_and_print(&workspace, brokers::SHARED),
        ["brokers", "--cluster"] => brokers::start_and_print_kafka_cluster(&workspace),
        ["brokers", "--rabbitmq-cluster"] => brokers::start_and_print_rabbitmq_cluster(&workspace),
        ["brokers", kind, version] => releases(kind, version)
            .and_then(|releases| brokers::start_and_print(&workspace, releases)),
        ["kafka-node", node, action] => kafka::cluster::control(&workspace, node, action),
        ["rabbitmq-node", node, action] => rabbitmq::cluster::control(&workspace, node, action),
        ["down", parts @ ..] => brokers::stop(&workspace, parts),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("unknown command `{}`\n\n{USAGE}", words.join(" ")),
    };
    if outcome.is_err() {
        // A command that failed leaves nothing behind.
        workspace.started.stop_all()?;
    }
    outcome.map(|()| ExitCode::SUCCESS)
}
