//! Which consumer groups have committed beyond an event: what evidence there is that it was consumed.

use std::collections::{HashMap, HashSet};

use crate::domain::{ClusterName, Offset, Partition, RecordPlace, Snapshot, TopicName};
use crate::traces::{Step, Trace};

/// Groups that a line names.
const NAMED: usize = 5;

type Log<'a> = (&'a ClusterName, &'a TopicName, Partition);

/// The committed offsets in the partitions of a trace.
pub(super) struct Passes<'a>(HashMap<Log<'a>, Vec<(&'a str, Offset)>>);

impl<'a> Passes<'a> {
    pub(super) fn of(trace: &Trace, snapshot: &'a Snapshot) -> Self {
        let places = trace.nodes.iter().filter_map(|node| match &node.step {
            Step::Event(event) => event.place.record(),
            _ => None,
        });
        let wanted: HashSet<Log<'_>> = places.map(log).collect();
        let mut passes: HashMap<Log<'a>, Vec<(&str, Offset)>> = HashMap::new();
        for (cluster, group) in snapshot.groups() {
            for topic in &group.topics {
                for partition in &topic.partitions {
                    let log = (&cluster.name, &topic.topic, partition.partition);
                    if wanted.contains(&log) {
                        let groups = passes.entry(log).or_default();
                        groups.push((group.group.as_str(), partition.committed));
                    }
                }
            }
        }
        Self(passes)
    }

    /// The groups that have passed a record, in words; empty if none has.
    pub(super) fn by(&self, place: &RecordPlace) -> String {
        let groups = self.0.get(&log(place)).into_iter().flatten();
        let passed = groups.filter(|(_, committed)| *committed > place.offset);
        let mut names: Vec<&str> = passed.map(|(group, _)| *group).collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(NAMED);
        names.truncate(NAMED);
        match more {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

const fn log(place: &RecordPlace) -> Log<'_> {
    (&place.cluster, &place.topic, place.partition)
}
