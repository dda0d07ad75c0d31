//! `cargo xtask test`: everything that continuous integration checks, in one command.
//!
//! Every step runs even if an earlier one failed, so that one run tells all. A step counts as one test;
//! `cargo test` counts as many as it reports.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;

use crate::brokers::{self, Brokers, Releases};
use crate::demo::{self, Profile};
use crate::interrupt::{Interruption, stop_on_interrupt};
use crate::kafka;
use crate::provision;
use crate::rabbitmq;
use crate::report::Report;
use crate::trial;
use crate::workspace::Workspace;

const TEST_PACKAGES: [&str; 4] = [
    "chromium",
    "chromium-driver",
    "prometheus",
    "rabbitmq-server",
];
const CARGO_DENY: &str = "0.20.2";
const CARGO_MACHETE: &str = "0.9.2";
/// Far more than the tests take once everything is compiled, and on an empty machine still enough.
const TEST_LIMIT: &str = "40m";
/// Tests mostly wait for brokers: with one a core the machine is idle half of the time.
const TESTS_AT_ONCE: &str = "4";

/// The programs that tests start.
const PROGRAMS: [(&str, &str); 3] = [
    ("REDRIVE_TEST_CHROMEDRIVER", "/usr/bin/chromedriver"),
    ("REDRIVE_TEST_PROMETHEUS", "/usr/bin/prometheus"),
    ("REDRIVE_TEST_PROMTOOL", "/usr/bin/promtool"),
];

/// The modules of `tests/it` that ask only RabbitMQ: the matrix of its releases. They know the rules of each
/// release and assert those of the one that they find.
const RABBITMQ_MATRIX: [&str; 16] = [
    "rabbitmq_access",
    "rabbitmq_actions",
    "rabbitmq_costly_looks",
    "rabbitmq_custody",
    "rabbitmq_hostile",
    "rabbitmq_limits",
    "rabbitmq_managed",
    "rabbitmq_never_loses",
    "rabbitmq_nodes",
    "rabbitmq_replay",
    "rabbitmq_sampling",
    "rabbitmq_streams",
    "rabbitmq_traces",
    "rabbitmq_troubles",
    "replay_rabbitmq",
    "sampling_rabbitmq",
];

/// Tests of the matrix in modules that ask both brokers.
const RABBITMQ_MATRIX_ELSEWHERE: [&str; 4] = [
    "intake::a_managed_queue",
    "intake::a_rejected_message",
    "intake::an_observed_dlq",
    "replay_crash::rabbitmq",
];

/// The same for Kafka: modules that ask it alone, or besides the RabbitMQ of the demo.
const KAFKA_MATRIX: [&str; 13] = [
    "kafka_clients",
    "kafka_edges",
    "kafka_hostile",
    "kafka_wire",
    "replay_brake",
    "replay_kafka",
    "replay_outcome",
    "replay_recovery",
    "replay_uncertain",
    "sampling",
    "share_groups",
    "time_lag",
    "verdicts",
];

/// The module of `tests/it` that needs a cluster of Kafka.
const KAFKA_CLUSTER_TESTS: &str = "kafka_cluster::";

/// The module of `tests/it` that needs a cluster of RabbitMQ.
const RABBITMQ_CLUSTER_TESTS: &str = "rabbitmq_cluster::";

/// Which brokers the tests run against.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Matrix {
    /// Those of the demo.
    Shared,
    /// Every release that Redrive is tested on.
    All,
    /// Only the tests of RabbitMQ, on every release of it.
    RabbitMq,
    /// Only the tests of Kafka, on every release of it.
    Kafka,
}

pub(crate) fn run(workspace: &Workspace, matrix: Matrix) -> Result<ExitCode> {
    stop_on_interrupt(workspace.started.clone(), Interruption::CutShort)?;
    let _alone = workspace.lock_tests()?;
    provision::debian_packages(&provision::BUILD_PACKAGES)?;
    provision::debian_packages(&TEST_PACKAGES)?;
    let mut report = Report::default();
    if let Matrix::RabbitMq | Matrix::Kafka = matrix {
        let tested = releases_of(matrix);
        run_matrix(workspace, matrix, brokers::SHARED, &mut report);
        for releases in tested {
            run_matrix(workspace, matrix, releases, &mut report);
        }
        report.needed("stop what was started", || workspace.started.stop_all());
        return Ok(report.print());
    }
    check_sources(workspace, &mut report);
    check_dependencies(workspace, &mut report);
    check_alert_rules(workspace, &mut report);
    run_tests(workspace, &mut report);
    run_tests_on_a_kafka_cluster(workspace, &mut report);
    run_tests_on_a_rabbitmq_cluster(workspace, &mut report);
    if matrix == Matrix::All {
        for matrix in [Matrix::RabbitMq, Matrix::Kafka] {
            for releases in releases_of(matrix) {
                run_matrix(workspace, matrix, releases, &mut report);
            }
        }
    }
    run_tests_on_the_demo(workspace, &mut report);
    run_short_trial(workspace, &mut report);
    report.needed("stop what was started", || workspace.started.stop_all());
    Ok(report.print())
}

fn check_sources(workspace: &Workspace, report: &mut Report) {
    report.command(&mut workspace.cargo(&["fmt", "--all", "--check"]));
    let mut clippy = workspace.cargo(&["clippy", "--workspace", "--all-targets"]);
    report.command(clippy.args(["--", "-D", "warnings"]));
}

fn check_dependencies(workspace: &Workspace, report: &mut Report) {
    let install_deny = || provision::cargo_tool("cargo-deny", CARGO_DENY, "3 to 6 minutes");
    if let Some(program) = report.needed("install cargo-deny", install_deny) {
        let deny = |arguments: &[&str]| tool(workspace, &program, arguments);
        report.command(&mut deny(&["check", "bans", "licenses", "sources"]));
        if is_advisory_database_fetched(workspace, &program) {
            report.command(&mut deny(&["--offline", "check", "advisories"]));
        } else {
            report.note("advisory database not reachable: advisories were not checked");
        }
    }
    let install_machete = || provision::cargo_tool("cargo-machete", CARGO_MACHETE, "1 minute");
    if let Some(program) = report.needed("install cargo-machete", install_machete) {
        report.command(&mut tool(workspace, &program, &[]));
    }
}

/// A firewall may swallow the connection instead of refusing it.
fn is_advisory_database_fetched(workspace: &Workspace, cargo_deny: &Path) -> bool {
    let mut fetch = Command::new("timeout");
    fetch
        .current_dir(workspace.root())
        .arg("60")
        .arg(cargo_deny)
        .args(["fetch", "db"]);
    fetch.stdout(Stdio::null()).stderr(Stdio::null());
    fetch.status().is_ok_and(|status| status.success())
}

fn tool(workspace: &Workspace, program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace.root()).args(arguments);
    command
}

fn check_alert_rules(workspace: &Workspace, report: &mut Report) {
    for (action, directory) in [("check", "alerts"), ("test", "alerts/tests")] {
        let listed = || workspace.yaml_files(directory);
        if let Some(files) = report.needed("list the alert rules", listed) {
            let mut promtool = Command::new("promtool");
            promtool.current_dir(workspace.root());
            report.command(promtool.args([action, "rules"]).args(files));
        }
    }
}

/// Without brokers the tests that need none still say what they find.
fn run_tests(workspace: &Workspace, report: &mut Report) {
    let mut tests = limited(&workspace.cargo(&["test", "--workspace", "--no-fail-fast"]));
    tests.envs(PROGRAMS);
    let start = || Brokers::ensure_running(workspace, brokers::SHARED);
    if let Some(brokers) = report.needed("start brokers", start) {
        tests.envs(brokers.variables());
    }
    tests.env("RUST_TEST_THREADS", TESTS_AT_ONCE);
    tests.args(["--", "--skip", KAFKA_CLUSTER_TESTS]);
    tests.args(["--skip", RABBITMQ_CLUSTER_TESTS]);
    report.tests(&mut tests);
}

/// By themselves: three nodes beside everything else leave the other tests too little of a small machine.
fn run_tests_on_a_kafka_cluster(workspace: &Workspace, report: &mut Report) {
    let start = || kafka::cluster::ensure_running(workspace);
    if let Some(variables) = report.needed("start a cluster of Kafka", start) {
        report.tests(cluster_tests(workspace, KAFKA_CLUSTER_TESTS).envs(variables));
        report.needed("stop the cluster of Kafka", || {
            kafka::cluster::stop_what_was_started(workspace)
        });
    }
}

/// By themselves, too.
fn run_tests_on_a_rabbitmq_cluster(workspace: &Workspace, report: &mut Report) {
    let start = || rabbitmq::cluster::ensure_running(workspace);
    if let Some(variables) = report.needed("start a cluster of RabbitMQ", start) {
        report.tests(cluster_tests(workspace, RABBITMQ_CLUSTER_TESTS).envs(variables));
        report.needed("stop the cluster of RabbitMQ", || {
            rabbitmq::cluster::stop_what_was_started(workspace)
        });
    }
}

fn cluster_tests(workspace: &Workspace, module: &str) -> Command {
    limited(&workspace.cargo(&["test", "--package", "redrive", "--test", "it", module]))
}

/// The other releases of one broker, each beside the other broker of the demo.
fn releases_of(matrix: Matrix) -> Vec<Releases> {
    let shared = brokers::SHARED;
    if matrix == Matrix::Kafka {
        let with = |kafka| Releases { kafka, ..shared };
        return kafka::OLDER.iter().map(with).collect();
    }
    let with = |rabbitmq| Releases { rabbitmq, ..shared };
    rabbitmq::NEWER.iter().map(with).collect()
}

/// The node stops after its tests if this command started it.
fn run_matrix(workspace: &Workspace, matrix: Matrix, releases: Releases, report: &mut Report) {
    let name = match matrix {
        Matrix::Kafka => releases.kafka.name,
        _ => releases.rabbitmq.name,
    };
    let start = || Brokers::ensure_running(workspace, releases);
    let Some(brokers) = report.needed(&format!("start {name}"), start) else {
        return;
    };
    let arguments = ["test", "--package", "redrive", "--test", "it", "--"];
    let mut tests = limited(&workspace.cargo(&arguments));
    match matrix {
        Matrix::Kafka => {
            tests.args(KAFKA_MATRIX.map(|module| format!("{module}::")));
            // Its name ends like one that is meant.
            tests.args(["--skip", "rabbitmq_sampling::"])
        }
        _ => tests.args(rabbitmq_matrix()),
    };
    tests.envs(PROGRAMS).envs(brokers.variables());
    report.tests(&mut tests);
    let is_of_the_demo = [kafka::SHARED.name, rabbitmq::SHARED.name].contains(&name);
    if !is_of_the_demo {
        let step = format!("stop {name}");
        report.needed(&step, || workspace.started.stop(name));
    }
}

/// What selects the tests of RabbitMQ's matrix.
fn rabbitmq_matrix() -> impl Iterator<Item = String> {
    let whole = RABBITMQ_MATRIX.iter().map(|module| format!("{module}::"));
    whole.chain(RABBITMQ_MATRIX_ELSEWHERE.map(str::to_owned))
}

/// The shipped expressions are tried on the demo. It starts after the other tests, whose queues its
/// dashboard would look into.
fn run_tests_on_the_demo(workspace: &Workspace, report: &mut Report) {
    if let Some(demo) = report.needed("start the demo", || {
        demo::ensure_running(workspace, Profile::Dev)
    }) {
        let arguments = [
            "test",
            "--package",
            "redrive",
            "--test",
            "it",
            "on_a_running_dashboard",
        ];
        let mut tests = limited(&workspace.cargo(&arguments));
        tests.envs(PROGRAMS);
        tests.env(
            "REDRIVE_TEST_DASHBOARD",
            format!("127.0.0.1:{}", demo.dashboard_port),
        );
        report.tests(&mut tests);
    }
}

/// A few minutes of what `cargo xtask trial replay` does, on brokers that it may kill.
fn run_short_trial(workspace: &Workspace, report: &mut Report) {
    let start = || trial::driver(workspace, &["--short"]);
    if let Some(driver) = report.needed("start the brokers of the trial", start) {
        report.command(&mut limited(&driver));
    }
}

/// A test that hangs shall fail the run, with the names of those that passed on the screen, instead of
/// keeping a machine for ever. Some tests handle SIGTERM, hence SIGKILL.
fn limited(command: &Command) -> Command {
    let mut limited = Command::new("timeout");
    limited
        .args(["--signal=KILL", TEST_LIMIT])
        .arg(command.get_program());
    limited.args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            limited.env(name, value);
        }
    }
    if let Some(directory) = command.get_current_dir() {
        limited.current_dir(directory);
    }
    limited
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules_named_after(broker: &str) -> Vec<&'static str> {
        let modules = include_str!("../../tests/it/main.rs").lines();
        let modules = modules.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
        modules.filter(|name| name.contains(broker)).collect()
    }

    #[test]
    fn every_module_that_is_named_after_rabbitmq_belongs_to_the_matrix_or_needs_the_cluster() {
        let needs_the_cluster = RABBITMQ_CLUSTER_TESTS.trim_end_matches("::");
        let mut modules = modules_named_after("rabbitmq");
        modules.retain(|module| *module != needs_the_cluster);
        assert_eq!(modules, RABBITMQ_MATRIX);
    }

    #[test]
    fn every_module_that_is_named_after_kafka_belongs_to_its_matrix_or_needs_the_cluster() {
        for module in modules_named_after("kafka") {
            let needs_the_cluster = KAFKA_CLUSTER_TESTS.trim_end_matches("::") == module;
            assert!(
                needs_the_cluster || KAFKA_MATRIX.contains(&module),
                "{module}"
            );
        }
    }

    #[test]
    fn what_needs_a_cluster_is_a_module() {
        for (broker, tests) in [
            ("kafka", KAFKA_CLUSTER_TESTS),
            ("rabbitmq", RABBITMQ_CLUSTER_TESTS),
        ] {
            let module = tests.trim_end_matches("::");
            assert!(modules_named_after(broker).contains(&module), "{module}");
        }
    }
}
