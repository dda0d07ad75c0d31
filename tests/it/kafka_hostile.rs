//! The sampling client against a cluster that answers half, late, or far too much.

use std::time::Duration;

use redrive::brokers::kafka::wire::{KafkaSampler, WireError};
use redrive::domain::{KafkaSample, Offset};

use crate::support::kafka_peer::{
    Body, DESCRIBE_GROUPS, KafkaPeer, LIST_GROUPS, LIST_OFFSETS, METADATA, OFFSET_FETCH,
    committed_by, described_as, groups_of, metadata_of, offsets_of,
};

const COORDINATOR_LOADING: i16 = 14;
const NOT_COORDINATOR: i16 = 16;
const NOT_LEADER: i16 = 6;

/// A cluster of one broker with one group, as it should be.
fn healthy(key: i16, port: u16) -> Body {
    match key {
        METADATA => metadata_of([port]),
        LIST_GROUPS => groups_of(0, &[["billing", "consumer", "Empty", "Classic"]]),
        DESCRIBE_GROUPS => described_as(&[("billing", "Empty")]),
        OFFSET_FETCH => committed_by(&[("billing", 0)]),
        LIST_OFFSETS => offsets_of(0, 9),
        other => panic!("nobody should ask for API {other}"),
    }
}

async fn sample(peer: &KafkaPeer) -> Result<KafkaSample, WireError> {
    KafkaSampler::new(&peer.config, Duration::from_secs(2))
        .sample()
        .await
}

fn names(sample: &KafkaSample) -> Vec<&str> {
    sample.groups.iter().map(|g| g.group.as_str()).collect()
}

#[tokio::test]
async fn a_healthy_peer_is_sampled_without_problems() {
    let peer = KafkaPeer::start(healthy).await;
    let sample = sample(&peer).await.unwrap();
    assert_eq!(sample.problems, Vec::<String>::new());
    assert_eq!(names(&sample), ["billing"]);
    assert_eq!(sample.groups[0].committed[0].offset, Offset(7));
    let partition = &sample.topics[0].partitions[0];
    assert_eq!(partition.high_watermark, Some(Offset(9)));
}

#[tokio::test]
async fn a_coordinator_that_loads_does_not_pass_for_one_without_groups() {
    let peer = KafkaPeer::start(|key, port| match key {
        LIST_GROUPS => groups_of(COORDINATOR_LOADING, &[]),
        _ => healthy(key, port),
    })
    .await;
    let error = sample(&peer).await.unwrap_err();
    assert!(matches!(error, WireError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("loading"), "{error}");
}

#[tokio::test]
async fn a_group_whose_offsets_are_unknown_is_left_out_instead_of_shown_without_lag() {
    let peer = KafkaPeer::start(|key, port| match key {
        LIST_GROUPS => groups_of(
            0,
            &["billing", "moving"].map(|name| [name, "consumer", "Empty", "Classic"]),
        ),
        DESCRIBE_GROUPS => described_as(&[("billing", "Empty"), ("moving", "Empty")]),
        OFFSET_FETCH => committed_by(&[("billing", 0), ("moving", NOT_COORDINATOR)]),
        _ => healthy(key, port),
    })
    .await;
    let sample = sample(&peer).await.unwrap();
    assert_eq!(names(&sample), ["billing"]);
    assert_eq!(sample.problems.len(), 1, "{:?}", sample.problems);
    assert!(sample.problems[0].contains("group moving is left out"));
}

#[tokio::test]
async fn what_never_stops_moving_is_looked_at_once_a_sample() {
    let peer = KafkaPeer::start(|key, port| match key {
        OFFSET_FETCH => committed_by(&[("billing", NOT_COORDINATOR)]),
        _ => healthy(key, port),
    })
    .await;
    let mut sampler = KafkaSampler::new(&peer.config, Duration::from_secs(2));
    let mut looks = async || {
        let cost = sampler.sample().await.unwrap().cost.requests_by_api;
        let mut apis = cost.into_iter();
        apis.find_map(|(api, count)| (api == "Metadata").then_some(count))
    };
    assert!(looks().await > Some(1), "it may have passed in a moment");
    assert_eq!(looks().await, Some(1));
    assert_eq!(looks().await, Some(1));
}

#[tokio::test]
async fn a_streams_group_keeps_its_own_state() {
    let peer = KafkaPeer::start(|key, port| match key {
        LIST_GROUPS => groups_of(0, &[["totals", "streams", "Stable", "Streams"]]),
        DESCRIBE_GROUPS => described_as(&[("totals", "Dead")]),
        OFFSET_FETCH => committed_by(&[("totals", 0)]),
        _ => healthy(key, port),
    })
    .await;
    let sample = sample(&peer).await.unwrap();
    assert_eq!(sample.groups[0].state, "Stable");
    assert!(!peer.was_asked(DESCRIBE_GROUPS));
}

#[tokio::test]
async fn a_partition_without_offsets_costs_only_its_own_numbers() {
    let peer = KafkaPeer::start(|key, port| match key {
        LIST_OFFSETS => offsets_of(NOT_LEADER, -1),
        _ => healthy(key, port),
    })
    .await;
    let sample = sample(&peer).await.unwrap();
    assert_eq!(sample.topics[0].partitions[0].high_watermark, None);
    assert_eq!(names(&sample), ["billing"]);
    assert_eq!(sample.problems.len(), 1, "{:?}", sample.problems);
    assert!(sample.problems[0].contains("orders 0"));
}

#[tokio::test]
async fn a_peer_cannot_make_us_connect_everywhere() {
    let peer = KafkaPeer::start(|key, port| match key {
        METADATA => {
            let nobody = std::iter::repeat_n(1_u16, 2_999);
            let ports: Vec<u16> = std::iter::once(port).chain(nobody).collect();
            metadata_of(ports)
        }
        _ => healthy(key, port),
    })
    .await;
    let sample = sample(&peer).await.unwrap();
    assert!(
        sample.problems[0].contains("2000 brokers"),
        "{:?}",
        sample.problems
    );
    assert!(sample.problems.len() <= 21);
    assert_eq!(names(&sample), ["billing"]);
}
