use super::*;
use crate::config::HumanDuration;
use crate::domain::{ConsumerGroup, QueueName, Snapshot, VhostName};
use crate::metrics::Metrics;
use crate::sampling::history::History;
use crate::sampling::{ChartRange, Line, SamplingHandle, Series};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const INTERVAL: Duration = Duration::from_secs(10);

struct Fixture {
    store: Store,
    _folder: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    Fixture {
        store: Store::open(&url).await.unwrap(),
        _folder: folder,
    }
}

fn board() -> Arc<Board> {
    let metrics = Arc::new(Metrics::new(INTERVAL));
    let history = History::new(360, INTERVAL);
    Arc::new(Board::of(Snapshot::default(), history, metrics))
}

fn cluster() -> ClusterName {
    "k".into()
}

/// A run of Redrive that only counts dead letters.
fn run(store: &Store) -> Memory {
    let mut config = Config::default();
    config.sampling.history_kept = HumanDuration::from_secs(7 * 86_400);
    config.kafka = vec![crate::config::KafkaConfig {
        name: cluster(),
        ..crate::config::KafkaConfig::default()
    }];
    Memory::new(&config, store, &Vec::new(), &board())
}

fn count(memory: &Memory, open: u64, at: Timestamp) {
    memory.board.record_open_dead_letters(&cluster(), open, at);
}

async fn line(memory: &Memory, range: ChartRange, now: Timestamp) -> Line {
    let handle = SamplingHandle {
        board: Arc::clone(&memory.board),
        store: Some(memory.store.clone()),
    };
    let key = SeriesKey::new(&cluster(), Series::OpenDeadLetters);
    handle.line(&[key], range, now).await.unwrap()
}

/// Minutes before now, and values.
fn points(line: &Line, now: Timestamp) -> Vec<(u64, Option<f64>)> {
    let points = line.points.iter();
    points
        .map(|point| (now.since(point.at).as_secs() / 60, point.value))
        .collect()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

#[tokio::test]
async fn a_day_of_points_survives_a_restart_and_ends_at_now() {
    let fixture = fixture().await;
    let first = run(&fixture.store);
    let start = NOW.minus(minutes(26 * 60));
    for step in 0..26 * 60 {
        count(&first, step, start.plus(minutes(step)));
        if step % 5 == 0 {
            first.write_hours(&cluster()).await.unwrap();
        }
    }
    first.write_hours(&cluster()).await.unwrap();

    let second = run(&fixture.store);
    second.read_back(NOW).await;
    let lately = second
        .board
        .lately(&[SeriesKey::new(&cluster(), Series::OpenDeadLetters)], NOW);
    assert_eq!(lately.points.len(), 12, "{lately:?}");
    count(&second, 26 * 60, NOW);

    for memory in [&first, &second] {
        let day = line(memory, ChartRange::Day, NOW).await;
        let drawn = points(&day, NOW);
        assert_eq!(drawn[0].0, 24 * 60);
        // The most of each five minutes, without a hole or a double.
        let steps = drawn.iter().take(24 * 12);
        for (index, (ago, value)) in (0_u32..).zip(steps) {
            assert_eq!(*ago, u64::from(24 * 60 - 5 * index));
            assert_eq!(*value, Some(f64::from(2 * 60 + 5 * index + 4)));
        }
    }
    let day = line(&second, ChartRange::Day, NOW).await;
    assert_eq!(points(&day, NOW).last(), Some(&(0, Some(1_560.0))));
    assert_eq!(day.points.len(), 24 * 12 + 1);
}

#[tokio::test]
async fn after_a_day_points_are_thinned_and_after_a_week_removed() {
    let fixture = fixture().await;
    let memory = run(&fixture.store);
    let start = NOW.minus(minutes(9 * 24 * 60));
    for step in 0..9 * 24 * 12 {
        count(&memory, step, start.plus(minutes(5 * step)));
        if step % 12 == 11 {
            memory.write_hours(&cluster()).await.unwrap();
        }
    }
    memory.write_hours(&cluster()).await.unwrap();
    memory.forget(NOW).await.unwrap();
    let page = SeriesId::of(&Series::OpenDeadLetters).page();
    let all = (Timestamp(0), NOW);
    let rows = fixture.store.history_page(&cluster(), page, all).await;
    let rows = rows.unwrap();
    let fine = rows.iter().filter(|row| row.step == STEP).count();
    let coarse = rows.len() - fine;
    assert!((24..=31).contains(&fine), "{fine}");
    assert!((24..=28).contains(&coarse), "{coarse}");
    let oldest = rows[0].began_at;
    assert!(NOW.since(oldest) <= minutes(7 * 24 * 60 + 6 * 60));

    let week = line(&memory, ChartRange::Week, NOW).await;
    let drawn = points(&week, NOW);
    assert_eq!(drawn.len(), 7 * 48 + 1, "the last one is now");
    for (index, (ago, value)) in (0_u32..).zip(drawn.iter().take(7 * 48)) {
        assert_eq!(*ago, u64::from(7 * 24 * 60 - 30 * index));
        assert_eq!(*value, Some(f64::from(2 * 24 * 12 + 6 * index + 5)));
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_costs_only_itself() {
    let fixture = fixture().await;
    let memory = run(&fixture.store);
    let hour = minutes(60);
    for hours in [2, 1] {
        count(
            &memory,
            hours,
            NOW.minus(hour * u32::try_from(hours).unwrap()),
        );
    }
    memory.write_hours(&cluster()).await.unwrap();
    let page = SeriesId::of(&Series::OpenDeadLetters).page();
    let mut rows = fixture
        .store
        .history_page(&cluster(), page, (Timestamp(0), NOW))
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    rows[1].points = b"{\"foreign\": true}".to_vec();
    fixture.store.write_history(&rows[1..]).await.unwrap();
    let offsets = vec![(3, vec![1, 2, 3]), (4, b"foreign".to_vec())];
    let name = cluster();
    let stored = fixture.store.write_offset_times(&name, &offsets, NOW);
    stored.await.unwrap();

    let again = run(&fixture.store);
    let state: Arc<std::sync::Mutex<_>> = Arc::default();
    let again = Memory {
        states: vec![(cluster(), state)],
        ..again
    };
    again.read_back(NOW).await;
    let day = line(&again, ChartRange::Day, NOW).await;
    let known: Vec<_> = day.points.iter().filter_map(|point| point.value).collect();
    assert_eq!(known, [2.0]);
    // It is written anew in place of what could not be read.
    again.write_offset_times(NOW).await;
    assert!(
        fixture
            .store
            .offset_times(&cluster())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn it_writes_when_it_is_told_to_stop() {
    let fixture = fixture().await;
    let memory = run(&fixture.store);
    count(&memory, 7, Timestamp::now());
    let stop = CancellationToken::new();
    stop.cancel();
    memory.keep(stop).await;
    let again = run(&fixture.store);
    again.read_back(Timestamp::now()).await;
    let hour = line(&again, ChartRange::Hour, Timestamp::now()).await;
    let known: Vec<_> = hour.points.iter().filter_map(|point| point.value).collect();
    assert_eq!(known, [7.0]);
}

/// A week of 10,000 queues with three busy series each, as their store would hold it.
#[tokio::test]
async fn one_series_of_thirty_thousand_is_read_in_a_moment() {
    let fixture = fixture().await;
    let names: Vec<_> = (0..10_000_u32)
        .flat_map(|number| {
            let queue = || (VhostName::new("/"), QueueName::new(format!("q-{number}")));
            let series: [fn(VhostName, QueueName) -> Series; 3] = [
                Series::QueueDepth,
                Series::QueuePublishRate,
                Series::QueueSettleRate,
            ];
            series.map(|series| SeriesId::of(&series(queue().0, queue().1)))
        })
        .collect();
    let wanted = Series::QueueDepth("/".into(), "q-77".into());
    let id = SeriesId::of(&wanted);
    let mut random = fastrand::Rng::with_seed(1);
    let lines: Vec<_> = names
        .iter()
        .filter(|name| name.page() == id.page())
        .map(|name| (*name, std::array::from_fn(|_| 1_000.0 * random.f32())))
        .collect();
    let mut encoded = encode(&lines);
    let (page, points) = encoded.next().unwrap();
    drop(encoded);
    let row = |began_at, step| HistoryPage {
        cluster: cluster(),
        page,
        began_at,
        step,
        points: points.clone(),
    };
    let fine = (0..30).map(|hour| row(floor(NOW, HOUR).minus(HOUR * hour), STEP));
    let coarse = (5..28).map(|part| row(floor(NOW, HOUR * 6).minus(HOUR * 6 * part), COARSE_STEP));
    let rows: Vec<_> = fine.chain(coarse).collect();
    fixture.store.write_history(&rows).await.unwrap();
    let bytes = points.len();
    assert!(bytes < 16 * 1024, "{bytes} bytes a page");
    let handle = SamplingHandle {
        board: board(),
        store: Some(fixture.store.clone()),
    };
    let key = SeriesKey::new(&cluster(), wanted);
    let started = std::time::Instant::now();
    let week = handle.line(&[key], ChartRange::Week, NOW).await.unwrap();
    let took = started.elapsed();
    assert!(week.points.len() > 300, "{}", week.points.len());
    // Without optimisation and beside other tests: in a release it is a tenth.
    assert!(took < Duration::from_millis(200), "{took:?}");
    let unknown = ConsumerGroup::new("x".repeat(100_000));
    let key = SeriesKey::new(&cluster(), Series::GroupLag(unknown));
    let none = handle.line(&[key], ChartRange::Week, NOW).await.unwrap();
    assert!(none.points.is_empty());
}
