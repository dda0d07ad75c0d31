//! The release binary on a million dead letters: `start_ms`, `list_p99_ms`, `group_p99_ms`, `search_p95_ms` of
//! each kind of search and each order, `rss_bytes`. The store is filled once through intake and kept for the next run.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use redrive::domain::TopicName;
use reqwest::Client;

use crate::figure::{self, Goal};
use crate::{intake, letters, process, site, take_in};

/// `REDRIVE_BENCH_LETTERS` asks for another number.
const LETTERS: u64 = 1_000_000;
/// Requests whose slowest hundredth, or twentieth, is the figure.
const PAGES: usize = 200;
const SEARCHES: usize = 40;
/// Every order on offer, and how its figures are told apart.
const SORTS: [(&str, &str); 2] = [("", "newest"), (", oldest first", "oldest")];
const START_LIMIT: Duration = Duration::from_mins(1);

pub(crate) fn run() -> Result<()> {
    let count = site::number("REDRIVE_BENCH_LETTERS", LETTERS)?;
    let database = filled_store(count)?;
    site::runtime()?.block_on(measure(&database, count))
}

/// A store of this number of letters, all of them in the search index.
fn filled_store(count: u64) -> Result<PathBuf> {
    let name = format!("letters-{}-{count}.db", letters::VERSION);
    let database = site::folder()?.join(&name);
    if database.exists() {
        return Ok(database);
    }
    eprintln!("filling a store with {count} dead letters (once)");
    let filling = site::fresh_database("filling.db")?;
    let topic = TopicName::new(site::unique_topic());
    intake::with_topic(&site::kafka()?, &topic, count, || {
        take_in::measure(&site::store_url(&filling), topic.as_str(), count)
    })?;
    // Closing the store has carried the write-ahead log over.
    fs::rename(&filling, &database)?;
    Ok(database)
}

async fn measure(database: &Path, count: u64) -> Result<()> {
    let server = Server::start(database).await?;
    figure::print("start_ms", server.start_ms, "ms", Goal::Below(2000.0));
    for (name, sort) in SORTS {
        let list = ["", "status:open"].map(|filter| list_of(filter, sort));
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        let p99 = server.slowest(&list, PAGES, 99).await?;
        let figure = format!("list_p99_ms{name}");
        figure::print(&figure, p99, "ms", Goal::Below(20.0));
    }
    let group_p99 = server.slowest(&["/dead-letters"], PAGES, 99).await?;
    figure::print("group_p99_ms", group_p99, "ms", Goal::Below(20.0));
    let sorted = |(name, sort)| searches(count).map(move |search| (name, sort, search));
    for (name, sort, (what, filters)) in SORTS.into_iter().flat_map(sorted) {
        let list = |filter: &String| list_of(filter, sort);
        let paths: Vec<String> = filters.iter().map(list).collect();
        for path in &paths {
            ensure!(
                !server.get(path).await?.contains("Nothing matches"),
                "{path} finds nothing"
            );
        }
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let p95 = server.slowest(&paths, SEARCHES, 95).await?;
        figure::print(
            &format!("search_p95_ms {what}{name}"),
            p95,
            "ms",
            Goal::Below(50.0),
        );
    }
    let resident = process::resident_bytes(&server.pid())?;
    figure::print("rss_bytes", resident as f64, "bytes", Goal::Below(250e6));
    Ok(())
}

fn list_of(filter: &str, sort: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
    format!("/dead-letters/list?filter={encoded}&sort={sort}")
}

/// Filters of each kind; every one of them finds something.
fn searches(count: u64) -> [(&'static str, Vec<String>); 12] {
    let some =
        |format: &dyn Fn(u64) -> String| (0..8).map(|i| format(count / 9 * (i + 1))).collect();
    [
        ("rare term", vec![letters::RARE_WORD.to_owned()]),
        (
            "term in 60 %",
            vec!["gateway".to_owned(), "timeout".to_owned()],
        ),
        (
            "payload.customerId:",
            some(&|number| format!("payload.customerId:{}", letters::customer(number))),
        ),
        (
            "header.tenant:",
            some(&|number| format!("header.tenant:tenant-{}", number % 50)),
        ),
        (
            "term within a group",
            vec![
                "warehouse error:StockException".to_owned(),
                "source:orders quantity error:required".to_owned(),
            ],
        ),
        (
            "negation",
            vec!["-gateway".to_owned(), "-warehouse".to_owned()],
        ),
        ("whole identifier", some(&|number| format!("ord-{number}"))),
        ("part of an identifier", some(&|number| number.to_string())),
        (
            "class",
            vec![
                "com.example.orders.ValidationException".to_owned(),
                "validation".to_owned(),
            ],
        ),
        ("UUID", some(&letters::event_id)),
        (
            "time of death",
            vec!["after:2020-01-01".to_owned(), "gateway age:>1s".to_owned()],
        ),
        (
            "place",
            vec![
                "cluster:kafka".to_owned(),
                "cluster:kafka -status:gone".to_owned(),
                "status:open cluster:kafka system:kafka".to_owned(),
            ],
        ),
    ]
}

/// `redrive serve` on the store; ended when this is dropped.
struct Server {
    child: Child,
    base: String,
    client: Client,
    start_ms: f64,
}

impl Server {
    async fn start(database: &Path) -> Result<Self> {
        let folder = site::folder()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = format!(
            "[http]\nlisten = '127.0.0.1:{port}'\n[store]\nurl = '{}'\n",
            site::store_url(database)
        );
        fs::write(folder.join("redrive.toml"), config)?;
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_redrive"))
            .args(["serve", "--config", "redrive.toml"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("serve.log"))?)
            .spawn()
            .context("cannot start redrive serve")?;
        let mut server = Self {
            child,
            base: format!("http://127.0.0.1:{port}"),
            client: Client::new(),
            start_ms: 0.0,
        };
        while server.get("/dead-letters/list").await.is_err() {
            ensure!(
                started.elapsed() < START_LIMIT,
                "redrive serve does not start; see serve.log"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.start_ms = started.elapsed().as_secs_f64() * 1000.0;
        Ok(server)
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    async fn get(&self, path: &str) -> Result<String> {
        let answer = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.text().await?)
    }

    /// Asks for the paths in turn, one request at a time over one connection; the milliseconds that so many
    /// percent of the answers do not exceed.
    async fn slowest(&self, paths: &[&str], requests: usize, percent: usize) -> Result<f64> {
        let mut taken = Vec::with_capacity(requests);
        for path in paths.iter().cycle().take(requests) {
            let started = Instant::now();
            self.get(path).await?;
            taken.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        taken.sort_by(f64::total_cmp);
        let index = (requests * percent).div_ceil(100).saturating_sub(1);
        taken.get(index).copied().context("nothing was measured")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
