use proptest::prelude::*;

use super::*;
use crate::domain::{GroupKind, GroupStatus, GroupVerdict, KafkaDetail};

const INTERVAL: Duration = Duration::from_secs(10);

fn detail(groups: &[(&str, u64)]) -> ClusterDetail {
    let group = |(name, lag): &(&str, u64)| GroupStatus {
        group: (*name).into(),
        kind: GroupKind::Classic,
        state: "Stable".to_owned(),
        members: Vec::new(),
        verdict: GroupVerdict::Ok,
        topics: Vec::new(),
        lag: *lag,
        time_lag: None,
        consume_rate: Some(*lag as f64),
        produce_rate: None,
        lost_total: 0,
    };
    ClusterDetail::Kafka(KafkaDetail {
        topics: Vec::new(),
        groups: groups.iter().map(group).collect(),
    })
}

fn lag_key(cluster: &str, group: &str) -> SeriesKey {
    SeriesKey::new(&cluster.into(), Series::GroupLag(group.into()))
}

fn samples_of(history: &History, group: &str) -> Vec<(i64, Option<f64>)> {
    let samples = history.source(&lag_key("k", group)).samples.into_iter();
    samples.map(|point| (point.at.0, point.value)).collect()
}

/// A line as seconds and values.
fn line(history: &History, keys: &[SeriesKey], grid: &Grid) -> Vec<(i64, Option<f64>)> {
    let sources: Vec<_> = keys.iter().map(|key| history.source(key)).collect();
    let points = draw(&sources, grid).points.into_iter();
    points
        .map(|point| (point.at.0 / 1_000, point.value))
        .collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

#[test]
fn a_failed_sample_and_a_late_group_leave_gaps_in_the_right_places() {
    let mut history = History::new(3, INTERVAL);
    let cluster = "k".into();
    history.record(&cluster, Some(&detail(&[("a", 1)])), Timestamp(1));
    history.record(&cluster, None, Timestamp(2));
    history.record(&cluster, Some(&detail(&[("a", 3), ("b", 9)])), Timestamp(3));
    assert_eq!(
        samples_of(&history, "a"),
        [(1, Some(1.0)), (2, None), (3, Some(3.0))]
    );
    assert_eq!(samples_of(&history, "b"), [(3, Some(9.0))]);
    history.record(&cluster, Some(&detail(&[("b", 8)])), Timestamp(4));
    assert_eq!(
        samples_of(&history, "a"),
        [(2, None), (3, Some(3.0)), (4, None)]
    );
    assert_eq!(samples_of(&history, "b"), [(3, Some(9.0)), (4, Some(8.0))]);
}

#[test]
fn a_group_that_left_is_forgotten() {
    let mut history = History::new(2, INTERVAL);
    let cluster = "k".into();
    history.record(&cluster, Some(&detail(&[("a", 1)])), Timestamp(1));
    history.record(&cluster, Some(&detail(&[])), Timestamp(2));
    history.record(&cluster, Some(&detail(&[])), Timestamp(3));
    assert_eq!(samples_of(&history, "a"), []);
    assert_eq!(history.series, 1, "the total lag alone");
}

#[test]
fn there_are_never_more_points_than_the_limit() {
    let mut history = History::new(POINTS_LIMIT / 3, INTERVAL);
    let groups = [("a", 1), ("b", 1), ("c", 1), ("d", 1)];
    history.record(&"k".into(), Some(&detail(&groups)), Timestamp(1));
    history.record(&"l".into(), Some(&detail(&groups)), Timestamp(1));
    assert_eq!(history.series, 3);
    let saved = history.hours(&"k".into()).to_save();
    assert_eq!(saved[0].lines.len(), 3);
}

#[test]
fn open_dead_letters_have_times_of_their_own() {
    let mut history = History::new(2, INTERVAL);
    for n in 1..=3 {
        history.record_open_dead_letters(&"k".into(), 10 * n, at(5));
    }
    let key = SeriesKey::new(&"k".into(), Series::OpenDeadLetters);
    let samples = history.source(&key).samples;
    let values: Vec<_> = samples.iter().map(|point| point.value).collect();
    assert_eq!(values, [Some(20.0), Some(30.0)]);
}

#[test]
fn of_what_waits_the_most_stays_and_of_what_flows_the_mean() {
    let mut history = History::new(2, INTERVAL);
    for (seconds, lag) in [(0, 10), (10, 50), (20, 0), (310, 7), (320, 9)] {
        history.record(&"k".into(), Some(&detail(&[("a", lag)])), at(seconds));
    }
    let rate = SeriesKey::new(&"k".into(), Series::GroupConsumeRate("a".into()));
    let buckets = |key: &SeriesKey| -> Vec<_> {
        let buckets = history.source(key).buckets.into_iter();
        buckets.map(|(at, value)| (at.0 / 1_000, value)).collect()
    };
    assert_eq!(buckets(&lag_key("k", "a")), [(0, 50.0), (300, 9.0)]);
    assert_eq!(buckets(&rate), [(0, 20.0), (300, 8.0)]);
}

/// What was in the last hour of the run before, then ten seconds apart what this one saw.
fn resumed(before: &[(i64, u64)], down_until: i64, until: i64) -> History {
    let mut earlier = History::new(360, INTERVAL);
    for (seconds, lag) in before {
        earlier.record(&"k".into(), Some(&detail(&[("a", *lag)])), at(*seconds));
    }
    let mut history = History::new(360, INTERVAL);
    for hour in earlier.hours(&"k".into()).to_save() {
        let lines = encode(&hour.lines).flat_map(|(_, page)| decode(&page).unwrap());
        let (lines, now) = (lines.collect(), (at(down_until), INTERVAL));
        let hours = history.hours(&"k".into());
        hours.read_back(hour.began_at, lines, now);
    }
    let lag = |seconds| u64::try_from(seconds % 1_000).unwrap();
    for seconds in (down_until..=until).step_by(10) {
        history.record(
            &"k".into(),
            Some(&detail(&[("a", lag(seconds))])),
            at(seconds),
        );
    }
    history
}

#[test]
fn after_a_restart_the_line_goes_on_without_a_hole_or_a_double() {
    let before: Vec<_> = (0..=600).step_by(10).map(|s| (s, 5)).collect();
    // Down from 10 minutes to 11 after the hour.
    let history = resumed(&before, 660, 700);
    let grid = Grid::lately(INTERVAL, at(700));
    let drawn = line(&history, &[lag_key("k", "a")], &grid);
    // The point of ten minutes has what both runs saw of these five minutes.
    let points = [
        (0, Some(5.0)),
        (300, Some(5.0)),
        (600, Some(700.0)),
        (660, Some(700.0)),
        (700, Some(700.0)),
    ];
    assert_eq!(drawn, points);
    assert!(samples_of(&history, "a").len() == 5);
}

#[test]
fn nothing_is_drawn_before_the_first_look() {
    let first_looks = |mut history: History| {
        for (seconds, lag) in [(2_000, 1), (2_030, 900), (2_060, 3)] {
            history.record(&"k".into(), Some(&detail(&[("a", lag)])), at(seconds));
        }
        let grid = Grid::of(ChartRange::Hour, INTERVAL, at(2_060));
        line(&history, &[lag_key("k", "a")], &grid)
    };
    let seen = [
        (1_980, Some(1.0)),
        (2_010, Some(900.0)),
        (2_040, Some(3.0)),
        (2_060, Some(3.0)),
    ];
    assert_eq!(first_looks(History::new(360, INTERVAL)), seen);
    // Nor after a restart that saw none of the same five minutes.
    let mut drawn = first_looks(resumed(&[(0, 5)], 1_990, 1_980));
    drawn.drain(..2);
    assert_eq!(drawn, seen);
}

#[test]
fn a_peak_at_the_full_hour_stays_when_its_sample_has_left_the_memory() {
    let mut history = History::new(3, INTERVAL);
    for (seconds, lag) in [(3_590, 1), (3_600, 900), (3_610, 1), (3_620, 1), (3_630, 1)] {
        history.record(&"k".into(), Some(&detail(&[("a", lag)])), at(seconds));
    }
    let grid = Grid::of(ChartRange::SixHours, INTERVAL, at(3_630));
    let drawn = line(&history, &[lag_key("k", "a")], &grid);
    let points = [(3_300, Some(1.0)), (3_600, Some(900.0)), (3_630, Some(1.0))];
    assert_eq!(drawn, points);
}

#[test]
fn where_redrive_was_down_the_line_has_a_gap() {
    let history = resumed(&[(0, 5), (10, 6)], 1_800, 1_810);
    let grid = Grid::of(ChartRange::SixHours, INTERVAL, at(1_810));
    let drawn = line(&history, &[lag_key("k", "a")], &grid);
    let points = [
        (0, Some(6.0)),
        (300, None),
        (1_800, Some(810.0)),
        (1_810, Some(810.0)),
    ];
    assert_eq!(drawn, points);
}

#[test]
fn what_a_clock_that_was_ahead_wrote_is_not_read_back() {
    let history = resumed(&[(0, 5), (3_000, 77), (7_200, 88)], 1_000, 1_000);
    let known = history.source(&lag_key("k", "a")).buckets;
    assert_eq!(known.keys().max(), Some(&at(900)), "{known:?}");
    let grid = Grid::of(ChartRange::Day, INTERVAL, at(1_000));
    let drawn = line(&history, &[lag_key("k", "a")], &grid);
    assert_eq!(
        drawn,
        [
            (0, Some(5.0)),
            (300, None),
            (900, Some(0.0)),
            (1_000, Some(0.0))
        ]
    );
}

#[test]
fn several_clusters_are_one_line_even_between_two_looks() {
    let mut history = History::new(360, INTERVAL);
    for seconds in (0..=110).step_by(10) {
        history.record(&"k".into(), Some(&detail(&[("a", 1)])), at(seconds));
        history.record(&"l".into(), Some(&detail(&[("a", 2)])), at(seconds + 3));
    }
    // In the third minute one of both was looked at so far.
    history.record(&"k".into(), Some(&detail(&[("a", 1)])), at(120));
    let keys = [lag_key("k", "a"), lag_key("l", "a")];
    let grid = Grid::lately(INTERVAL, at(121));
    let drawn = line(&history, &keys, &grid);
    let three = Some(3.0);
    assert_eq!(drawn, [(0, three), (60, three), (120, three)]);
    history.record(&"l".into(), None, at(123));
    let drawn = line(&history, &keys, &Grid::lately(INTERVAL, at(124)));
    assert_eq!(drawn.last(), Some(&(123, Some(1.0))), "the other is away");
}

#[test]
fn a_page_is_read_as_it_was_written() {
    let mut lines: Vec<(SeriesId, pages::Points)> = Vec::new();
    for number in 0..500_u16 {
        let name = format!("group-{number}");
        let id = SeriesId::of(&Series::GroupLag(name.as_str().into()));
        let mut points = [f32::NAN; 12];
        points[usize::from(number % 12)] = f32::from(number);
        lines.push((id, points));
    }
    let pages: Vec<_> = encode(&lines).collect();
    assert!(pages.len() > 100, "spread: {}", pages.len());
    let read: Vec<_> = pages
        .iter()
        .flat_map(|(_, page)| decode(page).unwrap())
        .collect();
    assert_eq!(read.len(), lines.len());
    for (id, points) in &lines {
        let (_, page) = pages.iter().find(|(page, _)| *page == id.page()).unwrap();
        let one = decode_one(page, *id).unwrap().unwrap();
        assert_eq!(one.map(f32::to_bits), points.map(f32::to_bits));
    }
    let stranger = SeriesId::of(&Series::TotalLag);
    assert!(decode_one(&pages[0].1, stranger).unwrap().is_none());
}

#[test]
fn six_hours_become_a_page_of_half_hours() {
    let most = SeriesId::of(&Series::GroupLag("a".into()));
    let mean = SeriesId::of(&Series::GroupConsumeRate("a".into()));
    let hour = |points: [f32; 12]| vec![(most, points), (mean, points)];
    let mut first = [f32::NAN; 12];
    first[..3].copy_from_slice(&[1.0, 5.0, 3.0]);
    let page = thinned(&[(0, hour(first)), (5, hour([2.0; 12]))]);
    let lines: HashMap<_, _> = decode(&page).unwrap().into_iter().collect();
    let known = |id| -> Vec<_> {
        let points = lines[&id].iter().enumerate();
        points
            .filter(|(_, point)| !point.is_nan())
            .map(|(place, point)| (place, *point))
            .collect()
    };
    assert_eq!(known(most), [(0, 5.0), (10, 2.0), (11, 2.0)]);
    assert_eq!(known(mean), [(0, 3.0), (10, 2.0), (11, 2.0)]);
}

proptest! {
    #[test]
    fn no_bytes_are_more_than_damaged(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let id = SeriesId::of(&Series::TotalLag);
        let packed = crate::sampling::packing::pack(&bytes);
        for page in [bytes.as_slice(), packed.as_slice()] {
            let _ = (decode(page), decode_one(page, id));
        }
    }

    /// Whatever was seen when, and whenever Redrive was down: the points are in order, one at a time, in the
    /// range, and no value was made up.
    #[test]
    fn a_line_is_in_order_and_holds_only_what_was_seen(
        before in prop::collection::vec((0_i64..20_000, 0_u64..100), 0..40),
        down_until in 0_i64..30_000,
        seen_for in 0_i64..4_000,
        range in prop::sample::select(ChartRange::ALL.to_vec()),
    ) {
        let history = resumed(&before, down_until, down_until + seen_for);
        let now = at(down_until + seen_for);
        let grid = Grid::of(range, INTERVAL, now);
        let source = history.source(&lag_key("k", "a"));
        let drawn = draw(&[source], &grid);
        let times: Vec<_> = drawn.points.iter().map(|point| point.at).collect();
        prop_assert!(times.is_sorted_by(|left, right| left < right), "{times:?}");
        prop_assert!(times.iter().all(|at| (grid.from..=now).contains(at)));
        let seen: Vec<_> = before
            .iter()
            .map(|(_, lag)| *lag)
            .chain((down_until..=down_until + seen_for).step_by(10).map(|s| (s % 1_000).unsigned_abs()))
            .map(|lag| lag as f64)
            .collect();
        let values = drawn.points.iter().filter_map(|point| point.value);
        for value in values {
            prop_assert!(seen.contains(&value), "{value}");
        }
        let last = drawn.points.last().and_then(|point| point.value);
        let (_, newest) = samples_of(&history, "a").last().copied().unwrap();
        prop_assert_eq!(last, newest);
        let joined = drawn.points.windows(2).filter(|pair| pair.iter().all(|p| p.value.is_some()));
        for pair in joined {
            prop_assert!(pair[1].at.since(pair[0].at) <= drawn.step.max(STEP) * 3 / 2);
        }
    }
}
