use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Observation};
use super::cost_log::CostLog;
use crate::config::SamplingConfig;
use crate::domain::{ClusterName, System, Timestamp};

/// Requests of a sample that wait for one another: metadata, coordinators, groups, offsets, ends, and
/// one of them again after a leader moved. The whole is given up after so many time-outs of one.
const REQUESTS_IN_A_ROW: u32 = 6;

/// Looks at one cluster and derives what changed since the look before.
pub(super) trait ClusterSampler {
    fn sample(&mut self) -> impl Future<Output = Result<Observation, String>> + Send;

    /// Starts anew with its connection after a sample was given up in the middle of an answer.
    fn reconnect(&mut self);
}

/// One cluster and how often it is looked at.
#[derive(Clone, Debug)]
pub(super) struct ClusterTask {
    pub(super) cluster: ClusterName,
    pub(super) system: System,
    pub(super) interval: Duration,
    pub(super) deadline: Duration,
}

impl ClusterTask {
    pub(super) fn new(cluster: &ClusterName, system: System, config: &SamplingConfig) -> Self {
        Self {
            cluster: cluster.clone(),
            system,
            interval: *config.interval,
            deadline: *config.request_timeout * REQUESTS_IN_A_ROW,
        }
    }

    /// Samples until told to stop. Nothing a broker does ends it.
    pub(super) async fn run(
        self,
        mut sampler: impl ClusterSampler + Send,
        board: Arc<Board>,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(self.interval);
        // After a slow sample the next one waits its full interval: a slow broker gets less load.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reachability = Reachability::Unknown;
        let mut costs = CostLog::default();
        loop {
            let next_look = async {
                ticks.tick().await;
                tokio::time::timeout(self.deadline, sampler.sample()).await
            };
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                result = next_look => result,
            };
            let result = result.unwrap_or_else(|_elapsed| {
                sampler.reconnect();
                Err(format!(
                    "the broker took longer than {} s to answer everything and was given up",
                    self.deadline.as_secs()
                ))
            });
            reachability = self.report(reachability, result.as_ref().err());
            if !self.publish(result, &board).await {
                return;
            }
            costs.observe(&board, &self.cluster, Instant::now());
        }
    }

    /// Away from the threads that answer requests, because encoding may take a while. Answers whether
    /// sampling goes on, which it does not when the process ends.
    async fn publish(&self, result: Result<Observation, String>, board: &Arc<Board>) -> bool {
        let (task, board) = (self.clone(), Arc::clone(board));
        let published = tokio::task::spawn_blocking(move || match result {
            Ok(observation) => {
                board.succeeded(&task.cluster, task.system, observation, Timestamp::now());
            }
            Err(error) => board.failed(&task.cluster, error, Timestamp::now()),
        });
        match published
            .await
            .map_err(tokio::task::JoinError::try_into_panic)
        {
            Ok(()) => true,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_cancelled)) => false,
        }
    }

    /// Logs when a broker goes and when it comes back, not every time that it is still away.
    fn report(&self, before: Reachability, error: Option<&String>) -> Reachability {
        let cluster = self.cluster.as_str();
        match (before, error) {
            (Reachability::Down, Some(_)) => Reachability::Down,
            (_, Some(error)) => {
                tracing::warn!(cluster, %error, "cannot sample the broker; its last numbers stay");
                Reachability::Down
            }
            (Reachability::Down, None) => {
                tracing::info!(cluster, "the broker can be sampled again");
                Reachability::Up
            }
            (_, None) => Reachability::Up,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Reachability {
    Unknown,
    Up,
    Down,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClusterDetail, KafkaDetail, SampleCost, Snapshot};
    use crate::metrics::Metrics;
    use crate::sampling::history::History;

    /// Answers each sample with the next of its answers, then with nothing at all.
    struct Scripted {
        answers: std::vec::IntoIter<Result<Timestamp, String>>,
        reconnects: Arc<std::sync::atomic::AtomicUsize>,
    }

    impl ClusterSampler for Scripted {
        async fn sample(&mut self) -> Result<Observation, String> {
            let Some(answer) = self.answers.next() else {
                return std::future::pending().await;
            };
            answer.map(|taken_at| Observation {
                detail: ClusterDetail::Kafka(KafkaDetail::default()),
                taken_at,
                cost: SampleCost::default(),
                deriving_took: Duration::ZERO,
                problems: Vec::new(),
                facts: Vec::new(),
                publish_to_commit: Vec::new(),
            })
        }

        fn reconnect(&mut self) {
            let order = std::sync::atomic::Ordering::Relaxed;
            self.reconnects.fetch_add(1, order);
        }
    }

    struct Running {
        snapshots: tokio::sync::watch::Receiver<Arc<Snapshot>>,
        reconnects: Arc<std::sync::atomic::AtomicUsize>,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    fn run(answers: Vec<Result<Timestamp, String>>) -> Running {
        let cluster = ClusterName::new("k");
        let metrics = Arc::new(Metrics::new(Duration::from_secs(10)));
        let clusters = [(cluster.clone(), System::Kafka)].into_iter();
        let history = History::new(10, Duration::from_millis(5));
        let board = Arc::new(Board::new(clusters, history, metrics));
        let task = ClusterTask {
            cluster,
            system: System::Kafka,
            interval: Duration::from_millis(5),
            deadline: Duration::from_millis(50),
        };
        let snapshots = board.subscribe();
        let stop = CancellationToken::new();
        let reconnects = Arc::default();
        let sampler = Scripted {
            answers: answers.into_iter(),
            reconnects: Arc::clone(&reconnects),
        };
        Running {
            snapshots,
            reconnects,
            task: tokio::spawn(task.run(sampler, board, stop.clone())),
            stop,
        }
    }

    #[tokio::test]
    async fn a_broker_that_fails_or_hangs_keeps_its_last_numbers() {
        let answers = vec![
            Err("refused".to_owned()),
            Ok(Timestamp(7)),
            Err("gone".to_owned()),
        ];
        let mut running = run(answers);
        let mut health = Vec::new();
        for _ in 0..4 {
            running.snapshots.changed().await.unwrap();
            let snapshot = running.snapshots.borrow_and_update().clone();
            let cluster = &snapshot.clusters[0];
            health.push((
                cluster.health.up,
                cluster.health.error.clone(),
                cluster.health.last_success,
                cluster.detail.is_some(),
            ));
        }
        let given_up = "the broker took longer than 0 s to answer everything and was given up";
        let seven = Some(Timestamp(7));
        assert_eq!(health[0], (false, Some("refused".to_owned()), None, false));
        assert_eq!(health[1], (true, None, seven, true));
        assert_eq!(health[2], (false, Some("gone".to_owned()), seven, true));
        assert_eq!(health[3], (false, Some(given_up.to_owned()), seven, true));
        assert!(
            running
                .reconnects
                .load(std::sync::atomic::Ordering::Relaxed)
                > 0
        );
        running.stop.cancel();
        running.task.await.unwrap();
    }

    #[tokio::test]
    async fn it_stops_while_a_broker_hangs() {
        let running = run(Vec::new());
        running.stop.cancel();
        running.task.await.unwrap();
    }
}
