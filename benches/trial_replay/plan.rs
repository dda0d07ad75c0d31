//! What a trial does, chosen by a seed: nothing here looks at a clock or a broker.

use serde::{Deserialize, Serialize};

/// Which broker an episode is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    Kafka,
    RabbitMq,
}

impl System {
    pub(crate) const ALL: [Self; 2] = [Self::Kafka, Self::RabbitMq];

    /// As crash points, figures and `xtask` name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::RabbitMq => "rabbitmq",
        }
    }
}

/// What a process was doing when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateAtKill {
    /// Nothing has been written down of what comes next.
    Planned,
    /// `sending` is on disk, nothing has reached the broker.
    NothingSent,
    /// Handed to the client; some may have reached the broker, and no answer was taken in.
    Unanswered,
    /// The broker has answered, and it is not on disk.
    Uncommitted,
    /// The answers are on disk, the next have not begun.
    Sent,
    /// What an earlier process left is looked at, and nothing is written down of it yet.
    Recovering,
    /// What was found out about it is on disk.
    Recovered,
    /// Everything had been sent: a kill that proves little.
    Idle,
}

impl StateAtKill {
    /// The states of which each has to be hit.
    pub(crate) const WANTED: [Self; 7] = [
        Self::Planned,
        Self::NothingSent,
        Self::Unanswered,
        Self::Uncommitted,
        Self::Sent,
        Self::Recovering,
        Self::Recovered,
    ];

    /// Those that leave replays behind in `sending`, so that the next process has to recover.
    const LEAVE_SENDING: [Self; 3] = [Self::NothingSent, Self::Unanswered, Self::Uncommitted];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::NothingSent => "sending, nothing sent",
            Self::Unanswered => "sending, sent and unanswered",
            Self::Uncommitted => "sending, answered and uncommitted",
            Self::Sent => "sent, the next not begun",
            Self::Recovering => "recovering, nothing written",
            Self::Recovered => "recovered and written",
            Self::Idle => "nothing left to send",
        }
    }

    /// The crash point at which a process of this system is in the state.
    fn crash_point(self, system: System) -> String {
        let point = match (self, system) {
            (Self::Planned | Self::Idle, _) => "prepared",
            (Self::NothingSent, _) => "sending.committed",
            (Self::Unanswered, System::Kafka) => "enqueued",
            (Self::Unanswered, System::RabbitMq) => "publishing",
            (Self::Uncommitted, System::Kafka) => "answered",
            (Self::Uncommitted, System::RabbitMq) => "confirmed",
            (Self::Sent, _) => "sent.committed",
            (Self::Recovering, System::Kafka) => "recovery.scanned",
            (Self::Recovering, System::RabbitMq) => "recovery.found",
            (Self::Recovered, _) => "recovery.committed",
        };
        format!("{}.{point}", system.name())
    }
}

/// When something happens to a process that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    AfterMillis(u64),
    /// When it has sent so many bytes to the broker: in the middle of its work however slow the machine.
    AfterBytes(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cut {
    /// Both ends see a reset.
    Reset,
    /// The broker sees an orderly end, and its answers still arrive.
    HalfClose,
    /// What is sent arrives, the answers do not, and then the connection breaks.
    AnswersLost,
    /// Nothing moves for a while, then all of it does.
    Stall,
    /// The connection breaks and new ones are refused for a while.
    Refused,
}

impl Cut {
    const ALL: [Self; 5] = [
        Self::Reset,
        Self::HalfClose,
        Self::AnswersLost,
        Self::Stall,
        Self::Refused,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokerEnd {
    Stopped,
    Killed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The process dies by itself where it passes a point, `name:n`.
    KillAt(StateAtKill, String),
    /// `kill -9` from outside.
    Kill(Moment),
    Cut(Cut, Moment, u64),
    Restart(BrokerEnd, Moment),
}

/// How often things shall happen, for each broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) kills: usize,
    pub(crate) restarts: usize,
    pub(crate) cuts: usize,
    /// In the order of [`StateAtKill::WANTED`].
    pub(crate) states: [usize; 7],
}

impl Wanted {
    pub(crate) const fn full() -> Self {
        Self {
            kills: 300,
            restarts: 20,
            cuts: 50,
            states: [20; 7],
        }
    }

    pub(crate) const fn short() -> Self {
        Self {
            kills: 8,
            restarts: 1,
            cuts: 5,
            states: [1; 7],
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// One story with a store, a destination and jobs of its own, which is checked at its end.
#[derive(Clone, Debug)]
pub(crate) struct Episode {
    pub(crate) system: System,
    /// Which pass over what is still wanted, and which of its episodes.
    pub(crate) id: EpisodeId,
    pub(crate) steps: Vec<Step>,
    /// How the events are spread over keys or queues.
    pub(crate) spread: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct EpisodeId {
    pub(crate) pass: u32,
    pub(crate) number: u32,
}

/// Steps of one episode: enough to make its set-up and its check cheap.
const STEPS_OF_AN_EPISODE: usize = 16;

/// Longest wait for a random moment; a recovery on Kafka alone takes four seconds.
const LONGEST_MILLIS: u64 = 2_500;

/// A job's bytes; what is beyond them is never reached.
const MOST_BYTES: u64 = 120_000;

/// The episodes of one pass over what is wanted.
pub(crate) fn episodes(seed: u64, system: System, pass: u32, wanted: &Wanted) -> Vec<Episode> {
    let salt = u64::from(pass) * 2 + u64::from(system == System::RabbitMq);
    let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(salt));
    let mut units = units(&mut rng, system, wanted);
    rng.shuffle(&mut units);
    let mut episodes: Vec<Episode> = Vec::new();
    let mut steps = Vec::new();
    let last = units.len();
    for (index, unit) in units.into_iter().enumerate() {
        steps.extend(unit);
        if steps.len() >= STEPS_OF_AN_EPISODE || index + 1 == last {
            let number = u32::try_from(episodes.len()).unwrap_or(u32::MAX);
            episodes.push(Episode {
                system,
                id: EpisodeId { pass, number },
                steps: std::mem::take(&mut steps),
                spread: *rng.choice(&[1, 8, 40, 150]).unwrap_or(&8),
            });
        }
    }
    episodes
}

/// Steps that belong together: a recovery can be hit only after a kill that leaves something to recover.
fn units(rng: &mut fastrand::Rng, system: System, wanted: &Wanted) -> Vec<Vec<Step>> {
    let mut units: Vec<Vec<Step>> = Vec::new();
    let mut left = wanted.states;
    let index = |state: StateAtKill| {
        let position = StateAtKill::WANTED.iter().position(|known| *known == state);
        position.unwrap_or_default()
    };
    let mut leaving = StateAtKill::LEAVE_SENDING.iter().cycle();
    for recovery in [StateAtKill::Recovering, StateAtKill::Recovered] {
        for _ in 0..std::mem::take(&mut left[index(recovery)]) {
            let Some(first) = leaving.next() else { break };
            let place = index(*first);
            left[place] = left[place].saturating_sub(1);
            units.push(vec![
                kill_at(rng, system, *first),
                kill_at(rng, system, recovery),
            ]);
        }
    }
    for state in StateAtKill::WANTED {
        for _ in 0..left[index(state)] {
            units.push(vec![kill_at(rng, system, state)]);
        }
    }
    for _ in 0..wanted.kills {
        units.push(vec![Step::Kill(moment(rng))]);
    }
    for (_, cut) in (0..wanted.cuts).zip(Cut::ALL.into_iter().cycle()) {
        units.push(vec![Step::Cut(cut, in_mid_work(rng), rng.u64(500..4_000))]);
    }
    let ends = [BrokerEnd::Stopped, BrokerEnd::Killed];
    for (_, end) in (0..wanted.restarts).zip(ends.into_iter().cycle()) {
        units.push(vec![Step::Restart(end, in_mid_work(rng))]);
    }
    units
}

fn kill_at(rng: &mut fastrand::Rng, system: System, state: StateAtKill) -> Step {
    let passings = match state {
        StateAtKill::Recovering | StateAtKill::Recovered => 1,
        StateAtKill::Unanswered | StateAtKill::Uncommitted if system == System::Kafka => {
            rng.u32(1..=30)
        }
        _ => rng.u32(1..=3),
    };
    Step::KillAt(state, format!("{}:{passings}", state.crash_point(system)))
}

fn moment(rng: &mut fastrand::Rng) -> Moment {
    if rng.bool() {
        in_mid_work(rng)
    } else {
        Moment::AfterMillis(rng.u64(0..LONGEST_MILLIS))
    }
}

fn in_mid_work(rng: &mut fastrand::Rng) -> Moment {
    Moment::AfterBytes(rng.u64(1..MOST_BYTES))
}
