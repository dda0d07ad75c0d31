//! The programs that are compared, each with its configuration in a folder of its own, and their scrapes.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::process::Running;

const START_LIMIT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_secs(1);
const LARGEST_HEAD: usize = 16 * 1024;

/// A running exporter. Its folder goes with it.
pub(crate) struct Exporter {
    process: Running,
    folder: TempDir,
    port: u16,
}

/// How Redrive is to run.
pub(crate) struct Settings<'a> {
    /// The bootstrap server of each cluster.
    pub(crate) kafka: &'a [String],
    pub(crate) interval: Duration,
    pub(crate) series_limit: usize,
}

/// `redrive serve` as people run it, without dead letters.
pub(crate) fn redrive(settings: &Settings<'_>) -> Result<Exporter> {
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let store = folder.path().join("redrive.db");
    let mut text = format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n\
         [store]\nurl = \"sqlite:{}\"\n\
         [sampling]\ninterval = \"{}s\"\n\
         [metrics]\nseries_limit = {}\n\
         [dead_letters]\nkafka_topics = []\n",
        store.display(),
        settings.interval.as_secs(),
        settings.series_limit,
    );
    for (number, server) in settings.kafka.iter().enumerate() {
        writeln!(
            text,
            "[[kafka]]\nname = \"kafka-{number}\"\nbootstrap_servers = [\"{server}\"]"
        )?;
    }
    let config = written(&folder, "redrive.toml", &text)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_redrive"));
    command.arg("serve").arg("--config").arg(config);
    Exporter::start(&mut command, folder, port)
}

/// klag-exporter with a series a partition, as Redrive has, and its defaults otherwise.
pub(crate) fn klag_exporter(program: &Path, kafka: &str, interval: Duration) -> Result<Exporter> {
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let text = format!(
        "[exporter]\npoll_interval = \"{}s\"\nhttp_port = {port}\nhttp_host = \"127.0.0.1\"\n\
         granularity = \"partition\"\n\
         [[clusters]]\nname = \"kafka-0\"\nbootstrap_servers = \"{kafka}\"\n",
        interval.as_secs()
    );
    let config = written(&folder, "klag.toml", &text)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(config);
    Exporter::start(&mut command, folder, port)
}

fn written(folder: &TempDir, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.path().join(name);
    fs::write(&path, text)?;
    Ok(path)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

impl Exporter {
    fn start(command: &mut Command, folder: TempDir, port: u16) -> Result<Self> {
        let process = Running::start(command, &folder.path().join("log"))?;
        Ok(Self {
            process,
            folder,
            port,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("log"))?)
    }

    pub(crate) fn scraper(&self) -> Result<Scraper> {
        Scraper::connect(
            SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            "/metrics",
        )
    }

    /// Waits until so many series have this name; fails if that takes too long.
    pub(crate) fn wait_for_series(&self, name: &str, count: usize) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let start = format!("{name}{{");
        loop {
            let found = self.scraper().and_then(|mut scraper| {
                let text = scraper.scrape(Encoding::Plain)?;
                let text = String::from_utf8_lossy(text);
                Ok(text.lines().filter(|line| line.starts_with(&start)).count())
            });
            match found {
                Ok(found) if found >= count => return Ok(()),
                _ if Instant::now() < deadline => thread::sleep(POLL),
                Ok(found) => bail!("only {found} of {count} series {name}; {}", self.log()?),
                Err(error) => return Err(error.context(self.log()?)),
            }
        }
    }
}

/// How a scraper wants the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
}

/// Scrapes over one connection, as Prometheus does.
pub(crate) struct Scraper {
    stream: TcpStream,
    path: &'static str,
    /// Kept, so that its pages are not touched for the first time while a scrape is timed.
    buffer: Vec<u8>,
}

impl Scraper {
    pub(crate) fn connect(address: SocketAddr, path: &'static str) -> Result<Self> {
        let stream = TcpStream::connect(address).context("nothing listens yet")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(START_LIMIT))?;
        Ok(Self {
            stream,
            path,
            buffer: vec![0; LARGEST_HEAD],
        })
    }

    /// Reads the whole body, and fails unless it came with status 200.
    pub(crate) fn scrape(&mut self, encoding: Encoding) -> Result<&[u8]> {
        let accepted = match encoding {
            Encoding::Plain => "identity",
            Encoding::Gzip => "gzip",
        };
        write!(
            self.stream,
            "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: {accepted}\r\n\r\n",
            self.path
        )?;
        let (head, mut filled) = self.read_head()?;
        let end = head + self.body_length(head)?;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        while filled < end {
            let read = self.stream.read(&mut self.buffer[filled..end])?;
            ensure!(read > 0, "the answer ended early");
            filled += read;
        }
        Ok(&self.buffer[head..end])
    }

    /// Where the body begins, and up to where the buffer is filled.
    fn read_head(&mut self) -> Result<(usize, usize)> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            ensure!(read > 0, "the answer ended before its body");
            filled += read;
            let mut windows = self.buffer[..filled].windows(4);
            if let Some(head) = windows.position(|window| window == b"\r\n\r\n") {
                return Ok((head + 4, filled));
            }
        }
    }

    fn body_length(&self, head: usize) -> Result<usize> {
        let head = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        ensure!(head.starts_with("http/1.1 200"), "refused: {head}");
        let mut lines = head.lines();
        let length = lines.find_map(|line| line.strip_prefix("content-length:"));
        Ok(length.context("no length")?.trim().parse()?)
    }
}
