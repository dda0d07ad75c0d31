//! What belongs to one correlation ID, put in order: what caused what, by which evidence.
//!
//! The order in which things arrive changes nothing: they are sorted first, by time and place. Nothing is its
//! own cause, however the IDs point at each other. "The previous one by time" is never a cause, or a fan-out
//! would look like a chain.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::domain::{
    DeadLetterId, KnownHandover, RecordPlace, ReplayId, RevisionNumber, Timestamp, TraceGap,
    TracedEdit, TracedEvent, TracedLetter, TracedReplay,
};

/// Beyond so many steps a trace is cut: dead letters and replays stay, and of the events the first.
pub const MOST_STEPS: usize = 1_000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Event(TracedEvent),
    Letter(TracedLetter),
    Edit(TracedEdit),
    Replay(TracedReplay),
    /// An event that others name as their cause, and that was not seen.
    Missing(String),
}

/// Why a step stands below another, or at the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing names what caused it.
    Unknown,
    /// Its causation ID is the ID of the event above.
    CausationId,
    /// A dead letter's headers name the record above as the original, or the event is the record that a replay
    /// became.
    Provenance,
    /// The edit is one of the dead letter above, or the replay sends it or that edit.
    OwnRecord,
    /// It has the event ID of the one above.
    SameEvent,
    /// No header says so: its service was seen to publish because of events of that destination, of which there
    /// is only one before it.
    Inferred,
}

impl Cause {
    /// The word for it in the API and in exported spans.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::CausationId => Some("causation_id"),
            Self::Provenance => Some("provenance"),
            Self::OwnRecord => Some("own_record"),
            Self::SameEvent => Some("same_event"),
            Self::Inferred => Some("inferred"),
        }
    }
}

/// An event whose ID was seen before in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Redrive sent it again.
    Replay,
    /// Its headers tell that a consumer or a framework tried it before.
    Retry,
    /// It was published to another destination as well.
    Elsewhere,
    /// It came to the same destination again, and nothing tells why: a producer sent it twice.
    Duplicate,
}

impl Repeat {
    /// Why an event comes again, to a destination to which it did not come before or did.
    pub(super) const fn of(event: &TracedEvent, is_new_there: bool) -> Self {
        match event.replay {
            Some(_) => Self::Replay,
            None if event.is_retry => Self::Retry,
            None if is_new_there => Self::Elsewhere,
            None => Self::Duplicate,
        }
    }

    /// The word for it in the API and in exported spans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Retry => "retry",
            Self::Elsewhere => "elsewhere",
            Self::Duplicate => "duplicate",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub step: Step,
    /// How deep it stands; 0 at the root.
    pub depth: usize,
    /// The index of the node above it.
    pub parent: Option<usize>,
    pub cause: Cause,
    pub repeat: Option<Repeat>,
    /// Milliseconds since the node above; negative if clocks disagree.
    pub after_ms: Option<i64>,
}

/// All of it, each node before those that it caused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    pub nodes: Vec<Node>,
    /// Steps that were cut off.
    pub left_out: u64,
    /// When taps missed events between its first and its last step, the last gap first.
    pub gaps: Vec<TraceGap>,
}

impl Trace {
    /// From the first step to the last.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let times = || self.nodes.iter().filter_map(|node| node.step.at());
        times().min().zip(times().max())
    }
}

impl Step {
    /// When it happened; not known of what was not seen.
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Event(event) => Some(event.at),
            Self::Letter(letter) => Some(letter.at),
            Self::Edit(edit) => Some(edit.at),
            Self::Replay(replay) => replay.at,
            Self::Missing(_) => None,
        }
    }
}

/// Stitches a trace.
pub fn stitch(
    mut events: Vec<TracedEvent>,
    mut letters: Vec<TracedLetter>,
    mut replays: Vec<TracedReplay>,
    known: &BTreeSet<KnownHandover>,
) -> Trace {
    events.sort_by(|a, b| (a.at, &a.place).cmp(&(b.at, &b.place)));
    // Equal messages of RabbitMQ have equal places.
    events.dedup_by(|a, b| a.place == b.place && a.place.record().is_some());
    letters.sort_by_key(|letter| (letter.at, letter.id.0));
    replays.sort_by_key(|replay| (replay.at, replay.id));
    let edits = letters.iter_mut();
    let mut edits: Vec<TracedEdit> = edits
        .flat_map(|letter| std::mem::take(&mut letter.edits))
        .collect();
    let all = events.len() + letters.len() + replays.len() + edits.len();
    let mut room = MOST_STEPS;
    cut(&mut letters, &mut room);
    cut(&mut replays, &mut room);
    cut(&mut edits, &mut room);
    cut(&mut events, &mut room);
    let left_out = (all - (MOST_STEPS - room)) as u64;
    let steps = events.into_iter().map(Step::Event);
    let steps = steps
        .chain(letters.into_iter().map(Step::Letter))
        .chain(edits.into_iter().map(Step::Edit))
        .chain(replays.into_iter().map(Step::Replay));
    let mut links = Links::of(steps.collect());
    links.find_causes(known);
    Trace {
        nodes: links.in_order(),
        left_out,
        gaps: Vec::new(),
    }
}

fn cut<T>(steps: &mut Vec<T>, room: &mut usize) {
    steps.truncate(*room);
    *room -= steps.len();
}

/// Cluster and topic or exchange from which each service is known to go on.
type Channels<'a> = HashMap<&'a str, HashSet<(&'a str, &'a str)>>;

/// The steps with what is above each.
struct Links {
    steps: Vec<Step>,
    above: Vec<(Option<usize>, Cause)>,
    repeats: Vec<Option<Repeat>>,
    by_record: HashMap<RecordPlace, usize>,
    /// The first of each ID.
    by_event_id: HashMap<String, usize>,
    letters: HashMap<DeadLetterId, usize>,
    edits: HashMap<(DeadLetterId, RevisionNumber), usize>,
    replays: HashMap<ReplayId, usize>,
    /// The record that a replay became.
    replayed: HashMap<ReplayId, usize>,
    /// The replays by where they landed.
    landed: HashMap<RecordPlace, usize>,
}

impl Links {
    fn of(steps: Vec<Step>) -> Self {
        let mut links = Self {
            above: vec![(None, Cause::Unknown); steps.len()],
            repeats: vec![None; steps.len()],
            steps: Vec::new(),
            by_record: HashMap::new(),
            by_event_id: HashMap::new(),
            letters: HashMap::new(),
            edits: HashMap::new(),
            replays: HashMap::new(),
            replayed: HashMap::new(),
            landed: HashMap::new(),
        };
        let mut destinations = HashSet::new();
        for (index, step) in steps.iter().enumerate() {
            match step {
                Step::Event(event) => {
                    if let Some(record) = event.place.record() {
                        links.by_record.insert(record.clone(), index);
                    }
                    if let Some(replay) = event.replay {
                        links.replayed.entry(replay).or_insert(index);
                    }
                    if let Some(id) = &event.event.event_id {
                        let first = *links.by_event_id.entry(id.clone()).or_insert(index);
                        let is_new_there = destinations.insert((id, event.place.way()));
                        let repeat = Repeat::of(event, is_new_there);
                        links.repeats[index] = (first != index).then_some(repeat);
                    }
                }
                Step::Letter(letter) => {
                    links.letters.insert(letter.id, index);
                }
                Step::Edit(edit) => {
                    links.edits.insert((edit.letter, edit.revision), index);
                }
                Step::Replay(replay) => {
                    links.replays.insert(replay.id, index);
                    if let Some(place) = &replay.landed {
                        links.landed.insert(place.clone(), index);
                    }
                }
                Step::Missing(_) => {}
            }
        }
        links.steps = steps;
        links
    }

    fn find_causes(&mut self, known: &BTreeSet<KnownHandover>) {
        let mut channels = Channels::new();
        for known in known {
            let of_service = channels.entry(known.service.as_str()).or_default();
            of_service.insert((known.cluster.as_str(), known.channel.as_str()));
        }
        for index in 0..self.steps.len() {
            let (above, cause) = match self.cause_of(index) {
                (None, _) => (self.inferred(index, &channels), Cause::Inferred),
                named => named,
            };
            // IDs that point at each other in a circle: the step of the circle that comes last is at the root.
            if above.is_some_and(|above| !self.leads_to(above, index)) {
                self.above[index] = (above, cause);
            }
        }
    }

    /// The strongest evidence first.
    fn cause_of(&mut self, index: usize) -> (Option<usize>, Cause) {
        let provenance = match &self.steps[index] {
            Step::Event(event) => {
                let sent_by = event.replay.and_then(|replay| self.replays.get(&replay));
                let record = event.place.record();
                let sent_by = sent_by.or_else(|| self.landed.get(record?));
                (sent_by.copied(), Cause::Provenance)
            }
            Step::Edit(edit) => (self.letters.get(&edit.letter).copied(), Cause::OwnRecord),
            Step::Replay(replay) => {
                let edit = self.edits.get(&(replay.letter, replay.revision));
                let letter = self.letters.get(&replay.letter);
                (edit.or(letter).copied(), Cause::OwnRecord)
            }
            Step::Letter(letter) => {
                let original = letter.original.as_ref();
                let original = original.and_then(|place| self.by_record.get(place));
                let died_from = letter.died_from.as_ref();
                let record = died_from.and_then(|replay| self.replayed.get(replay));
                let replay = died_from.and_then(|replay| self.replays.get(replay));
                (record.or(replay).or(original).copied(), Cause::Provenance)
            }
            Step::Missing(_) => (None, Cause::Unknown),
        };
        let event = match &self.steps[index] {
            Step::Event(event) => event.event.clone(),
            Step::Letter(letter) => letter.event.clone(),
            Step::Edit(_) | Step::Replay(_) | Step::Missing(_) => return provenance,
        };
        if provenance.0.is_some() {
            return provenance;
        }
        let own_id = event.event_id.as_deref();
        let first = own_id.and_then(|id| self.by_event_id.get(id)).copied();
        // A dead letter is the event itself, so what caused the event did not cause the death.
        let is_letter = matches!(self.steps[index], Step::Letter(_));
        if let Some(first) = first.filter(|_| is_letter) {
            return (Some(first), Cause::SameEvent);
        }
        if let Some(cause) = event.causation_id.filter(|id| Some(id.as_str()) != own_id) {
            let known = self.by_event_id.get(&cause).copied();
            let above = known.unwrap_or_else(|| self.add_missing(cause));
            return (Some(above), Cause::CausationId);
        }
        match first.filter(|first| *first != index) {
            Some(first) => (Some(first), Cause::SameEvent),
            None => (None, Cause::Unknown),
        }
    }

    /// The only event before it from which its service is known to go on; `channels` are those of its service.
    fn inferred(&self, index: usize, channels: &Channels) -> Option<usize> {
        let Step::Event(effect) = &self.steps[index] else {
            return None;
        };
        let channels = channels.get(effect.source.as_deref()?)?;
        let mut causes = (0..index).filter(|before| match &self.steps[*before] {
            Step::Event(cause) if self.repeats[*before].is_none() => {
                let place = &cause.place;
                channels.contains(&(place.cluster().as_str(), place.channel().0))
            }
            _ => false,
        });
        let only = causes.next();
        only.filter(|_| causes.next().is_none())
    }

    fn add_missing(&mut self, event_id: String) -> usize {
        let index = self.steps.len();
        self.by_event_id.insert(event_id.clone(), index);
        self.steps.push(Step::Missing(event_id));
        self.above.push((None, Cause::Unknown));
        self.repeats.push(None);
        index
    }

    /// Whether `wanted` is this step or stands above it.
    fn leads_to(&self, from: usize, wanted: usize) -> bool {
        let above = |index: &usize| self.above[*index].0;
        std::iter::successors(Some(from), above).any(|index| index == wanted)
    }

    /// Depth first; siblings by time.
    fn in_order(self) -> Vec<Node> {
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); self.steps.len()];
        let mut roots = Vec::new();
        for (index, (above, _)) in self.above.iter().enumerate() {
            match above {
                Some(above) => below[*above].push(index),
                None => roots.push(index),
            }
        }
        let starts = self.starts(&below);
        let order = |indices: &mut Vec<usize>| {
            // The next one is taken from the end.
            indices.sort_by_key(|index| std::cmp::Reverse((starts[*index], *index)));
        };
        order(&mut roots);
        below.iter_mut().for_each(order);

        let mut nodes: Vec<Node> = Vec::with_capacity(self.steps.len());
        let mut steps: Vec<Option<Step>> = self.steps.into_iter().map(Some).collect();
        let mut open: Vec<(usize, Option<usize>)> =
            roots.into_iter().map(|index| (index, None)).collect();
        while let Some((index, parent)) = open.pop() {
            let Some(step) = steps[index].take() else {
                continue;
            };
            let parent_at = parent.and_then(|parent: usize| nodes[parent].step.at());
            let after_ms = step.at().zip(parent_at);
            let node = Node {
                depth: parent.map_or(0, |parent| nodes[parent].depth + 1),
                parent,
                cause: self.above[index].1,
                repeat: self.repeats[index],
                after_ms: after_ms.map(|(at, above)| at.0.saturating_sub(above.0)),
                step,
            };
            nodes.push(node);
            let this = nodes.len() - 1;
            open.extend(below[index].iter().map(|below| (*below, Some(this))));
        }
        nodes
    }

    /// When each step happened; what was not seen, before all that it caused.
    fn starts(&self, below: &[Vec<usize>]) -> Vec<Timestamp> {
        let start = |index: usize| {
            let caused = below[index]
                .iter()
                .filter_map(|below| self.steps[*below].at());
            self.steps[index].at().or_else(|| caused.min())
        };
        (0..self.steps.len())
            .map(|index| start(index).unwrap_or_default())
            .collect()
    }
}

#[cfg(test)]
mod tests;
