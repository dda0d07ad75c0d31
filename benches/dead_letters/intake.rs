//! Intake from Kafka against bare inserts: `intake_ratio`, `searchable_ratio`, `intake_rss_bytes`.

use anyhow::Result;
use redrive::brokers::kafka::KafkaAdmin;
use redrive::config::KafkaConfig;
use redrive::domain::TopicName;

use crate::figure::{self, Goal};
use crate::peer::{self, Search};
use crate::{letters, site, take_in};

/// Records of the backlog; `REDRIVE_BENCH_RECORDS` asks for another number.
const RECORDS: u64 = 200_000;
const PARTITIONS: i32 = 4;

pub(crate) fn run() -> Result<()> {
    let records = site::number("REDRIVE_BENCH_RECORDS", RECORDS)?;
    let database = site::fresh_database("intake.db")?;
    let topic = TopicName::new(site::unique_topic());
    let report = with_topic(&site::kafka()?, &topic, records, || {
        take_in::measure(&site::store_url(&database), topic.as_str(), records)
    })?;
    let bare = peer::insert(&database, Search::Without)?;
    let bare_with_search = peer::insert(&database, Search::With)?;
    site::remove_database(&database)?;
    let per_second = |seconds: f64| records as f64 / seconds;
    println!(
        "intake of {records} records: {:.0}/s stored, {:.0}/s searchable; bare inserts: {:.0}/s, with FTS5 {:.0}/s",
        per_second(report.stored_seconds),
        per_second(report.searchable_seconds),
        per_second(bare),
        per_second(bare_with_search),
    );
    let stored_ratio = bare / report.stored_seconds;
    figure::print("intake_ratio", stored_ratio, "", Goal::AtLeast(0.5));
    let searchable_ratio = bare_with_search / report.searchable_seconds;
    figure::print("searchable_ratio", searchable_ratio, "", Goal::AtLeast(0.8));
    let resident = report.peak_resident_bytes as f64;
    figure::print("intake_rss_bytes", resident, "bytes", Goal::Below(250e6));
    Ok(())
}

/// Runs `measure` while the topic holds the records, and removes it whatever comes of it.
pub(crate) fn with_topic<T>(
    config: &KafkaConfig,
    topic: &TopicName,
    records: u64,
    measure: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let runtime = site::runtime()?;
    let admin = KafkaAdmin::new(config)?;
    runtime.block_on(admin.create_topic(topic, PARTITIONS, &[]))?;
    let result = letters::produce(config, topic, records).and_then(|()| measure());
    runtime.block_on(admin.delete_topic(topic))?;
    result
}
