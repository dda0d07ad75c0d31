use std::time::Duration;

use super::*;

/// One point a minute, the last one now.
fn line(values: &[Option<f64>]) -> Line {
    let minutes = |minutes: usize| Timestamp::from_seconds(60 * i64::try_from(minutes).unwrap());
    let point = |(index, value): (usize, &Option<f64>)| HistoryPoint {
        at: minutes(index),
        value: *value,
    };
    Line {
        from: minutes(0),
        to: minutes(values.len() - 1),
        step: Duration::from_mins(1),
        points: values.iter().enumerate().map(point).collect(),
    }
}

fn path(line: &Line) -> String {
    let svg = sparkline("lag", Unit::Count, line).0;
    let start = svg.find(" d=\"").unwrap() + 4;
    svg[start..].split('"').next().unwrap().to_owned()
}

#[test]
fn a_gap_in_the_samples_is_a_gap_in_the_line() {
    let drawn = path(&line(&[Some(1.0), Some(2.0), None, Some(1.0), Some(2.0)]));
    assert_eq!(drawn.matches('M').count(), 2, "{drawn}");
}

#[test]
fn a_lonely_sample_is_a_dot() {
    assert!(path(&line(&[None, Some(1.0), None])).contains("h0.1"));
}

#[test]
fn a_point_is_where_its_time_is() {
    let mut late = line(&[Some(1.0), Some(2.0), Some(3.0), Some(4.0), Some(5.0)]);
    late.points.drain(..3);
    let drawn = path(&late);
    assert!(drawn.starts_with("M88.0 "), "{drawn}");
    assert!(drawn.contains("L117.0 "), "{drawn}");
}

#[test]
fn nothing_measured_draws_nothing_and_nonsense_is_left_out() {
    let nothing = sparkline("lag", Unit::Count, &line(&[None])).0;
    assert!(nothing.contains("no samples"));
    let nonsense = [Some(f64::NAN), Some(1.0), Some(f64::INFINITY), Some(0.0)];
    let drawn = path(&line(&nonsense));
    assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
}

#[test]
fn a_chart_says_its_minimum_maximum_and_now() {
    let data = ChartData {
        label: "lag",
        unit: Unit::Count,
        line: &line(&[Some(5.0), Some(100.0), Some(42.0)]),
        began: "1 hour ago",
        threshold: Some(50.0),
    };
    let svg = chart(&data).0;
    for label in [">5<", ">100<", ">42<", ">50<", ">1 hour ago<", ">now<"] {
        assert!(svg.contains(label), "{label} is missing in {svg}");
    }
}
