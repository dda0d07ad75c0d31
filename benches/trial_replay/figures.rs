//! The table and the figures at the end of a trial.

use std::collections::BTreeMap;

use crate::journal::{EpisodeReport, Fault, Journal, kills};
use crate::plan::{StateAtKill, System, Wanted};

/// Prints everything that is known; answers whether each goal is met.
pub(crate) fn print(journal: &Journal, wanted: &Wanted) -> bool {
    let mut all_met = true;
    for system in System::ALL {
        let reports: Vec<&EpisodeReport> = journal.of(system).collect();
        print_histogram(system, &reports);
        all_met &= print_figures(system, &reports, wanted);
    }
    all_met
}

fn print_histogram(system: System, reports: &[&EpisodeReport]) {
    let sum = |kills: fn(&EpisodeReport) -> &BTreeMap<StateAtKill, usize>, state| -> usize {
        let counts = reports
            .iter()
            .filter_map(|report| kills(report).get(&state));
        counts.sum()
    };
    println!("\n{}: state at the kill", system.name());
    println!("{:>36} {:>9} {:>9}", "", "at points", "at random");
    for state in StateAtKill::WANTED.into_iter().chain([StateAtKill::Idle]) {
        let at_points = sum(|report| &report.at_points, state);
        let at_random = sum(|report| &report.at_random, state);
        println!("{:>36} {at_points:>9} {at_random:>9}", state.title());
    }
}

fn print_figures(system: System, reports: &[&EpisodeReport], wanted: &Wanted) -> bool {
    let sum = |count: fn(&EpisodeReport) -> usize| -> usize {
        reports.iter().map(|report| count(report)).sum()
    };
    let line = |name: &str, value: usize, unit: &str, goal: &str, met: bool| {
        let verdict = if met { "met" } else { "missed" };
        println!(
            "{}_{name}: {value} {unit} (goal {goal}): {verdict}",
            system.name()
        );
        met
    };
    let mut all_met = true;
    for (name, wanted, done) in [
        (
            "kills_at_random",
            wanted.kills,
            sum(|report| kills(&report.at_random)),
        ),
        ("restarts", wanted.restarts, sum(|report| report.restarts)),
        (
            "cuts",
            wanted.cuts,
            sum(|report| report.cuts.values().sum()),
        ),
    ] {
        all_met &= line(name, done, "times", &format!("≥ {wanted}"), done >= wanted);
    }
    let fewest = StateAtKill::WANTED.into_iter().map(|state| {
        let hits = reports
            .iter()
            .map(|report| crate::journal::hits(report, state));
        hits.sum::<usize>()
    });
    let fewest = fewest.min().unwrap_or(0);
    let goal = wanted.states[0];
    all_met &= line(
        "rarest_state",
        fewest,
        "kills",
        &format!("≥ {goal}"),
        fewest >= goal,
    );
    for (name, fault) in [
        ("lost", Fault::Lost),
        ("sent_twice_unseen", Fault::SentTwiceUnseen),
        ("unknown_that_could_have_been_proven", Fault::Provable),
        ("unknown_beyond_in_flight", Fault::BeyondInFlight),
        ("failed_without_cause", Fault::FailedWithoutCause),
        ("out_of_order", Fault::OutOfOrder),
        ("never_decided", Fault::NeverDecided),
        ("broken_episodes", Fault::Broken),
    ] {
        let faults = reports.iter().flat_map(|report| &report.faults);
        let count = faults.filter(|(known, _)| *known == fault).count();
        all_met &= line(name, count, "events", "0", count == 0);
    }
    println!(
        "{}: {} replays, {} unknown, of which {} had arrived; {} s of episodes",
        system.name(),
        sum(|report| report.events),
        sum(|report| report.unknown),
        sum(|report| report.unknown_and_arrived),
        reports.iter().map(|report| report.seconds).sum::<u64>(),
    );
    all_met
}
