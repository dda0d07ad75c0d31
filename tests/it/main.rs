//! Integration tests against real brokers, in one binary because linking is what costs.
//!
//! `cargo xtask test` starts the brokers and says where they are in `REDRIVE_TEST_*`.
#![expect(
    clippy::unwrap_used,
    reason = "a fixture fails its test by panicking, as a test itself does"
)]

mod alerts;
mod alerts_page;
mod audit;
mod browser;
mod charts;
mod demo;
mod discards;
mod drafts;
mod edit_limits;
mod expiring_bodies;
mod failure_groups;
mod grafana;
mod hostile;
mod intake;
mod kafka_clients;
mod kafka_cluster;
mod kafka_edges;
mod kafka_hostile;
mod kafka_wire;
mod large_edits;
mod letter_list;
mod metrics;
mod notifications;
mod open_replays;
mod pointers;
mod prometheus;
mod rabbitmq_access;
mod rabbitmq_actions;
mod rabbitmq_cluster;
mod rabbitmq_costly_looks;
mod rabbitmq_custody;
mod rabbitmq_hostile;
mod rabbitmq_limits;
mod rabbitmq_managed;
mod rabbitmq_never_loses;
mod rabbitmq_nodes;
mod rabbitmq_replay;
mod rabbitmq_sampling;
mod rabbitmq_streams;
mod rabbitmq_traces;
mod rabbitmq_troubles;
mod redrive_policies;
mod repairs;
mod replay_brake;
mod replay_crash;
mod replay_kafka;
mod replay_large;
mod replay_options;
mod replay_outcome;
mod replay_rabbitmq;
mod replay_recovery;
mod replay_uncertain;
mod restart;
mod retention;
mod sampling;
mod sampling_rabbitmq;
mod sandbox;
mod saved_filters;
mod schemas;
mod share_groups;
mod shell;
mod shell_custody;
mod shell_edits;
mod shell_groups;
mod shell_live;
mod support;
mod telemetry;
mod time_lag;
mod trace_export;
mod traces;
mod transfer;
mod verdicts;
mod web;
mod web_edits;
mod web_protection;
mod web_revisions;
