//! What one sample of 1,000 groups and 10,000 partitions costs: `cargo xtask bench sampling`.
//!
//! Fills the Kafka of `REDRIVE_BENCH_KAFKA` (else `REDRIVE_TEST_KAFKA`), which has to be a single
//! broker, then prints one line a figure. What an earlier run left there is used again. The setup speaks
//! the protocol directly, because a librdkafka client for each group would be measured as well.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, CreateTopicsResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, OffsetCommitRequest,
    OffsetCommitResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use redrive::brokers::kafka::wire::KafkaSampler;
use redrive::config::KafkaConfig;
use redrive::domain::KafkaSample;

const TOPICS: usize = 1_000;
const PARTITIONS_PER_TOPIC: i32 = 10;
const FEW_GROUPS: usize = 100;
const GROUPS: usize = 1_000;
/// Two topics with all their partitions.
const COMMITS_PER_GROUP: usize = 20;

const MEASURED_SAMPLES: u32 = 6;
const REQUESTS_GOAL: u64 = 20;
const CPU_SECONDS_GOAL: f64 = 0.237;
const RSS_GOAL: u64 = 100_000_000;
const IDLE_RSS_GOAL: u64 = 60_000_000;

/// A broker that creates a thousand topics answers late.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The broker learns of ten thousand partitions some time after its controller made them.
const SETUP_LIMIT: Duration = Duration::from_mins(5);
/// `KRaft` takes at most 10,000 metadata records a request.
const TOPICS_PER_REQUEST: usize = 100;

/// Error codes of Kafka that the setup expects.
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const COORDINATOR_LOADING: i16 = 14;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const NOT_COORDINATOR: i16 = 16;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const GROUP_ID_NOT_FOUND: i16 = 69;

fn main() -> Result<()> {
    let server = std::env::var("REDRIVE_BENCH_KAFKA")
        .or_else(|_| std::env::var("REDRIVE_TEST_KAFKA"))
        .context("REDRIVE_BENCH_KAFKA is not set; run `cargo xtask bench sampling`")?;
    let mut setup = Setup::connect(&server)?;
    // First, because a broker that is busy with ten thousand new partitions takes minutes for it.
    setup.wait_for_coordinator()?;
    setup.create_topics()?;
    setup.delete_groups(FEW_GROUPS..GROUPS)?;
    setup.commit(0..FEW_GROUPS)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let few = runtime.block_on(measure(&server, FEW_GROUPS))?;
    setup.commit(FEW_GROUPS..GROUPS)?;
    let all = runtime.block_on(measure(&server, GROUPS))?;
    print_figures(&few, &all)
}

fn print_figures(few: &Figures, all: &Figures) -> Result<()> {
    println!(
        "sampling_requests: {} requests (goal ≤ {REQUESTS_GOAL}): {}",
        all.requests,
        verdict(all.requests <= REQUESTS_GOAL)
    );
    println!(
        "sampling_requests_100_groups: {} requests (goal: the same as with {GROUPS} groups): {}",
        few.requests,
        verdict(few.requests == all.requests)
    );
    println!(
        "sampling_cpu_seconds: {:.3} s (goal ≤ {CPU_SECONDS_GOAL}, a third of kminion's 0.71): {}",
        all.cpu_seconds,
        verdict(all.cpu_seconds <= CPU_SECONDS_GOAL)
    );
    println!(
        "sampling_rss_bytes: {} bytes (goal < 100 MB): {}",
        all.rss_bytes,
        verdict(all.rss_bytes < RSS_GOAL)
    );
    if let Ok(pid) = std::env::var("REDRIVE_BENCH_DEMO_PID") {
        let bytes = resident_bytes(&pid)?;
        println!(
            "demo_idle_rss_bytes: {bytes} bytes (goal < 60 MB): {}",
            verdict(bytes < IDLE_RSS_GOAL)
        );
    }
    Ok(())
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

struct Figures {
    /// The most of any sample, the first with its handshake included.
    requests: u64,
    /// The mean of the samples after the first.
    cpu_seconds: f64,
    rss_bytes: u64,
}

async fn measure(server: &str, groups: usize) -> Result<Figures> {
    let config = KafkaConfig {
        bootstrap_servers: vec![server.to_owned()],
        ..KafkaConfig::default()
    };
    let mut sampler = KafkaSampler::new(&config, TIMEOUT);
    let mut requests = warm_up(&mut sampler, groups).await?;
    let before = cpu_seconds()?;
    for _ in 0..MEASURED_SAMPLES {
        let sample = sampler.sample().await?;
        requests = requests.max(sample.cost.requests);
    }
    let cpu_seconds = (cpu_seconds()? - before) / f64::from(MEASURED_SAMPLES);
    ensure_whole(&sampler.sample().await?, groups)?;
    Ok(Figures {
        requests,
        cpu_seconds,
        rss_bytes: resident_bytes("self")?,
    })
}

/// Samples until the new partitions have leaders; answers the requests of the first sample, which opens
/// the connection.
async fn warm_up(sampler: &mut KafkaSampler, groups: usize) -> Result<u64> {
    let requests = sampler.sample().await?.cost.requests;
    let deadline = Instant::now() + SETUP_LIMIT;
    loop {
        match ensure_whole(&sampler.sample().await?, groups) {
            Ok(()) => return Ok(requests),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// A cheap sample that lacks something would be no achievement.
fn ensure_whole(sample: &KafkaSample, groups: usize) -> Result<()> {
    ensure!(sample.problems.is_empty(), "{:?}", sample.problems);
    ensure!(sample.brokers == 1, "the bench needs a single broker");
    let of_bench = |name: &str| name.starts_with("bench-");
    let topics = sample.topics.iter().filter(|t| of_bench(t.topic.as_str()));
    let partitions = topics.flat_map(|topic| &topic.partitions);
    let whole = partitions.filter(|partition| {
        partition.log_start.is_some()
            && partition.high_watermark.is_some()
            && partition.last_stable.is_some()
    });
    let (seen, expected) = (whole.count(), TOPICS * PARTITIONS_PER_TOPIC as usize);
    ensure!(seen == expected, "{seen} of {expected} partitions");
    let found = sample.groups.iter().filter(|g| of_bench(g.group.as_str()));
    let found: Vec<usize> = found.map(|group| group.committed.len()).collect();
    ensure!(found.len() == groups, "{} of {groups} groups", found.len());
    ensure!(
        found.iter().all(|commits| *commits == COMMITS_PER_GROUP),
        "a group lacks commits"
    );
    Ok(())
}

/// User and system time of this process.
fn cpu_seconds() -> Result<f64> {
    /// `USER_HZ`, which Linux fixed at 100.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name of the process, which may contain spaces, ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat is odd")?;
    let mut times = fields.split_whitespace().skip(11).take(2);
    let mut ticks = || -> Result<f64> { Ok(times.next().context("a time is missing")?.parse()?) };
    Ok((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn resident_bytes(process: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))
        .with_context(|| format!("there is no process {process}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes.context("VmRSS is missing")?.trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Fills the broker.
struct Setup {
    stream: TcpStream,
}

impl Setup {
    fn connect(server: &str) -> Result<Self> {
        let stream = TcpStream::connect(server).with_context(|| format!("no Kafka at {server}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream })
    }

    fn call<Q: Encodable, A: Decodable>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> Result<A> {
        let mut body = BytesMut::new();
        RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_client_id(Some(StrBytes::from_static_str("redrive-bench")))
            .encode(&mut body, key.request_header_version(version))?;
        request.encode(&mut body, version)?;
        let mut frame = i32::try_from(body.len())?.to_be_bytes().to_vec();
        frame.extend_from_slice(&body);
        self.stream.write_all(&frame)?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size))?];
        self.stream.read_exact(&mut answer)?;
        let mut answer = Bytes::from(answer);
        ResponseHeader::decode(&mut answer, key.response_header_version(version))?;
        A::decode(&mut answer, version)
    }

    fn create_topics(&mut self) -> Result<()> {
        let names: Vec<usize> = (0..TOPICS).collect();
        for chunk in names.chunks(TOPICS_PER_REQUEST) {
            let topic = |index: &usize| {
                CreatableTopic::default()
                    .with_name(topic_name(*index))
                    .with_num_partitions(PARTITIONS_PER_TOPIC)
                    .with_replication_factor(1)
            };
            let request = CreateTopicsRequest::default()
                .with_timeout_ms(i32::try_from(TIMEOUT.as_millis())?)
                .with_topics(chunk.iter().map(topic).collect());
            let answer: CreateTopicsResponse = self.call(ApiKey::CreateTopics, 5, &request)?;
            for topic in answer.topics {
                let code = topic.error_code;
                ensure!(
                    matches!(code, 0 | TOPIC_ALREADY_EXISTS),
                    "creating {:?} failed with code {code}",
                    topic.name
                );
            }
        }
        Ok(())
    }

    fn delete_groups(&mut self, groups: std::ops::Range<usize>) -> Result<()> {
        self.wait_for_coordinator()?;
        let request =
            DeleteGroupsRequest::default().with_groups_names(groups.map(group_id).collect());
        retried(|| {
            let answer: DeleteGroupsResponse = self.call(ApiKey::DeleteGroups, 2, &request)?;
            let codes = answer.results.iter().map(|group| group.error_code);
            Ok(first_error(
                codes.filter(|code| *code != GROUP_ID_NOT_FOUND),
            ))
        })
    }

    /// The first question makes the broker create the topic of the offsets.
    fn wait_for_coordinator(&mut self) -> Result<()> {
        let request = FindCoordinatorRequest::default().with_key(group_id(0).0);
        retried(|| {
            let answer: FindCoordinatorResponse =
                self.call(ApiKey::FindCoordinator, 3, &request)?;
            Ok(answer.error_code)
        })
    }

    /// Commits without members, as administration tools do.
    fn commit(&mut self, groups: std::ops::Range<usize>) -> Result<()> {
        for group in groups {
            let topics = [group, group + 1].map(|topic| {
                let partition = |partition| {
                    OffsetCommitRequestPartition::default()
                        .with_partition_index(partition)
                        .with_committed_offset(0)
                };
                OffsetCommitRequestTopic::default()
                    .with_name(topic_name(topic % TOPICS))
                    .with_partitions((0..PARTITIONS_PER_TOPIC).map(partition).collect())
            });
            let request = OffsetCommitRequest::default()
                .with_group_id(group_id(group))
                .with_generation_id_or_member_epoch(-1)
                .with_topics(topics.to_vec());
            retried(|| {
                let answer: OffsetCommitResponse = self.call(ApiKey::OffsetCommit, 8, &request)?;
                let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                Ok(first_error(
                    partitions.map(|partition| partition.error_code),
                ))
            })?;
        }
        Ok(())
    }
}

fn first_error(mut codes: impl Iterator<Item = i16>) -> i16 {
    codes.find(|code| *code != 0).unwrap_or(0)
}

/// Repeats a request until the broker has its coordinator and the new topics.
fn retried(mut request: impl FnMut() -> Result<i16>) -> Result<()> {
    let deadline = Instant::now() + SETUP_LIMIT;
    loop {
        match request()? {
            0 => return Ok(()),
            UNKNOWN_TOPIC_OR_PARTITION
            | COORDINATOR_LOADING
            | COORDINATOR_NOT_AVAILABLE
            | NOT_COORDINATOR
                if Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(100));
            }
            code => bail!("the broker refused with code {code}"),
        }
    }
}

fn topic_name(index: usize) -> TopicName {
    TopicName(StrBytes::from_string(format!("bench-topic-{index:04}")))
}

fn group_id(index: usize) -> GroupId {
    GroupId(StrBytes::from_string(format!("bench-group-{index:04}")))
}
