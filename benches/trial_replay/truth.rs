//! What the destination holds against what the store says.

use std::collections::{HashMap, HashSet};

use redrive::domain::{Replay, ReplayId, ReplayStateName};

use crate::journal::{EpisodeReport, Fault};
use crate::letters::Planned;
use crate::plan::System;

/// Everything in the destination of an episode: for each replay ID its copies in the order of arrival,
/// a number that grows within a partition or queue.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) copies: HashMap<String, Vec<(i32, i64)>>,
}

/// What may be unknown: these replays, and so many others.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    pub(crate) seen_at_kills: HashSet<ReplayId>,
    pub(crate) at_most_others: usize,
}

/// Compares and writes down what is wrong.
pub(crate) fn judge(
    report: &mut EpisodeReport,
    planned: &[Planned],
    replays: &[Replay],
    arrived: &Arrived,
    in_flight: &InFlight,
) {
    let by_id: HashMap<ReplayId, &Replay> = replays.iter().map(|r| (r.id, r)).collect();
    report.events = planned.len();
    let mut faults = Vec::new();
    let mut others = 0;
    for planned in planned {
        let text = planned.id.to_string();
        let copies = arrived.copies.get(&text).map_or(0, Vec::len);
        let Some(replay) = by_id.get(&planned.id) else {
            faults.push((Fault::Lost, format!("{text} is not in the store")));
            continue;
        };
        let name = replay.state.name();
        if name == ReplayStateName::Unknown {
            report.unknown += 1;
            report.unknown_and_arrived += usize::from(copies > 0);
            others += usize::from(!in_flight.seen_at_kills.contains(&planned.id));
        }
        if let Some(fault) = fault_of(report.system, name, copies) {
            let landed = arrived.copies.get(&text);
            faults.push((
                fault,
                format!("{text}: {:?}, arrived {landed:?}", replay.state),
            ));
        }
    }
    if others > in_flight.at_most_others {
        let most = in_flight.at_most_others;
        faults.push((
            Fault::BeyondInFlight,
            format!("{others} unknown that no kill had in flight, at most {most} by cuts"),
        ));
    }
    let known: HashSet<String> = planned.iter().map(|p| p.id.to_string()).collect();
    for stranger in arrived.copies.keys().filter(|id| !known.contains(*id)) {
        let text = format!("{stranger} was never planned");
        faults.push((Fault::SentTwiceUnseen, text));
    }
    if report.system == System::Kafka {
        faults.extend(out_of_order(planned, arrived));
    }
    report.faults.extend(faults);
}

fn fault_of(system: System, state: ReplayStateName, copies: usize) -> Option<Fault> {
    use ReplayStateName as S;
    if copies > 1 {
        return Some(Fault::SentTwiceUnseen);
    }
    match (state, copies) {
        (S::Planned | S::Sending, _) => Some(Fault::NeverDecided),
        // The destination is whole and can be read to its end.
        (S::Unknown, _) if system == System::Kafka => Some(Fault::Provable),
        (S::Failed | S::Cancelled, 1) => Some(Fault::SentTwiceUnseen),
        (S::Failed | S::Cancelled, _) => Some(Fault::FailedWithoutCause),
        (S::Unknown, _) | (_, 1) => None,
        _ => Some(Fault::Lost),
    }
}

/// Events of one key arrive in the order in which they died.
fn out_of_order(planned: &[Planned], arrived: &Arrived) -> Vec<(Fault, String)> {
    let mut last: HashMap<&[u8], (i32, i64, i64)> = HashMap::new();
    let mut faults = Vec::new();
    for event in planned {
        let copies = arrived.copies.get(&event.id.to_string());
        let (Some(key), Some([(partition, offset), ..])) = (&event.key, copies.map(Vec::as_slice))
        else {
            continue;
        };
        let known = last.insert(key, (*partition, *offset, event.number));
        let Some((before, earlier, number)) = known else {
            continue;
        };
        if before != *partition || earlier >= *offset {
            let text = format!(
                "event {} at {partition}@{offset} after event {number} at {before}@{earlier}",
                event.number
            );
            faults.push((Fault::OutOfOrder, text));
        }
    }
    faults
}
