//! Fetches what is missing: Debian packages by `apt-get` and `debootstrap`, Kafka by Maven, tools by cargo and Go. Each says on screen what
//! it installs and how long that usually takes; what cannot be installed is an error that names the remedy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::kafka::KafkaRelease;
use crate::process::{is_on_path, run};
use crate::workspace::{cache_directory, lock_file};

const DEBIAN_MIRROR: &str = "http://deb.debian.org/debian";
const OLDEST_JAVA: u32 = 17;
const INSTALL_ATTEMPTS: u32 = 3;
const OTEL_COLLECTOR: &str = "v0.165.0";
/// While this file exists, Debian's packages do not start their services.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// What the build of Redrive needs beside Rust: librdkafka and SQLite are compiled, OpenSSL is linked.
pub(crate) const BUILD_PACKAGES: [&str; 4] = ["g++", "libssl-dev", "make", "pkg-config"];

/// Installs those of the packages that are missing. Root is needed only then.
pub(crate) fn debian_packages(names: &[&str]) -> Result<()> {
    let missing: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !is_installed(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    ensure!(
        is_on_path("apt-get") && is_on_path("dpkg-query"),
        "this system has no apt-get, so {list} cannot be installed; \
         use docker-compose.yml instead: docker compose up"
    );
    ensure!(
        is_root(),
        "{list} must be installed, which needs root rights; run once: \
         sudo apt-get install --no-install-recommends {list}"
    );
    eprintln!("installing from Debian's archive: {list} (usually 1 to 2 minutes)");
    let _policy = ServicePolicy::deny_starts()?;
    // One repository that does not answer need not be the one that has the packages.
    if let Err(error) = retry(|| run(apt_get().arg("update"))) {
        eprintln!("{error:#}; going on with what is known");
    }
    install_with_retries(&missing)?;
    keep_services_off_at_boot(&missing);
    Ok(())
}

/// A package from a Debian suite that is not the system's, installed into a folder of its own.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// By which of debootstrap's scripts it is set up.
    pub(crate) script: &'static str,
    /// Its place in the cache.
    pub(crate) folder: &'static str,
    pub(crate) package: &'static str,
    /// How long that takes, and how much it is.
    pub(crate) usual: &'static str,
}

/// The root of the suite's folder, set up by debootstrap at the first call.
pub(crate) fn debian_suite(suite: &Suite) -> Result<PathBuf> {
    let cache = cache_directory(suite.folder)?;
    let root = cache.join("root");
    let _lock = lock_file(&cache.join("lock"))?;
    let (name, package) = (suite.name, suite.package);
    ensure!(
        is_root(),
        "{package} of Debian {name} runs in a folder of its own, which needs root rights (chroot and \
         mount); run this command as root, or leave the newer brokers out"
    );
    if root.is_dir() {
        return Ok(root);
    }
    debian_packages(&["debootstrap"])?;
    eprintln!(
        "installing {package} from Debian {name} into {} (usually {})",
        root.display(),
        suite.usual
    );
    let partial = cache.join("root.partial");
    retry(|| {
        // What an interrupted run left behind is not taken up by debootstrap.
        if partial.is_dir() {
            fs::remove_dir_all(&partial)?;
        }
        let mut command = Command::new("debootstrap");
        command.arg("--variant=minbase");
        command.arg(format!("--include={package},ca-certificates"));
        command.arg(name).arg(&partial);
        run(command.args([DEBIAN_MIRROR, suite.script]))
    })?;
    // Only a complete folder gets the name that later calls look for.
    fs::rename(&partial, &root)?;
    Ok(root)
}

/// The directory with the jars of a Kafka, fetched by Maven at the first call.
pub(crate) fn kafka_jars(release: &KafkaRelease) -> Result<PathBuf> {
    ensure_java()?;
    let version = release.version;
    let cache = cache_directory(&format!("kafka-{version}"))?;
    let jars = cache.join("lib");
    let _lock = lock_file(&cache.join("lock"))?;
    if jars.is_dir() {
        return Ok(jars);
    }
    ensure!(
        is_on_path("mvn"),
        "Maven is missing, which fetches Kafka; install it: apt-get install maven"
    );
    eprintln!(
        "fetching Apache Kafka {version} from Maven Central (43 MB, usually 10 s to 1 minute)"
    );
    fs::write(cache.join("pom.xml"), project_object_model(version))?;
    fetch_with_retries(&cache)?;
    // Only a complete directory gets the name that later calls look for.
    fs::rename(cache.join("lib.partial"), &jars)?;
    Ok(jars)
}

/// A tool of cargo's, compiled at the first call. Each version has a directory of its own.
pub(crate) fn cargo_tool(name: &str, version: &str, usual: &str) -> Result<PathBuf> {
    let root = cache_directory(&format!("tools/{name}-{version}"))?;
    let _lock = lock_file(&root.join("lock"))?;
    let program = root.join("bin").join(name);
    if !program.is_file() {
        eprintln!("compiling {name} {version} (usually {usual} on two cores)");
        retry(|| {
            let mut command = Command::new("cargo");
            command.args([
                "install",
                "--quiet",
                "--locked",
                "--version",
                version,
                "--root",
            ]);
            run(command.arg(&root).arg(name))
        })?;
    }
    Ok(program)
}

/// An OpenTelemetry Collector that takes OTLP and prints it, built at the first call.
pub(crate) fn otel_collector() -> Result<PathBuf> {
    let cache = cache_directory(&format!("otelcol-{OTEL_COLLECTOR}"))?;
    let _lock = lock_file(&cache.join("lock"))?;
    let program = cache.join("otelcol").join("otelcol");
    if program.is_file() {
        return Ok(program);
    }
    let go = ["go", "/usr/local/go/bin/go"]
        .into_iter()
        .find(|go| is_on_path(go))
        .context("Go is missing, which builds the Collector; install it from https://go.dev/dl")?;
    eprintln!("building the OpenTelemetry Collector {OTEL_COLLECTOR} (usually 4 minutes)");
    let module =
        |path: &str| format!("  - gomod: go.opentelemetry.io/collector/{path} {OTEL_COLLECTOR}\n");
    let manifest = format!(
        "dist:\n  name: otelcol\n  output_path: ./otelcol.partial\n  go: {go}\n\
         receivers:\n{}exporters:\n{}",
        module("receiver/otlpreceiver"),
        module("exporter/debugexporter"),
    );
    fs::write(cache.join("builder.yaml"), manifest)?;
    retry(|| {
        let mut install = Command::new(go);
        let builder = format!("go.opentelemetry.io/collector/cmd/builder@{OTEL_COLLECTOR}");
        run(install.env("GOBIN", &cache).args(["install", &builder]))?;
        let mut build = Command::new(cache.join("builder"));
        run(build.current_dir(&cache).args(["--config", "builder.yaml"]))
    })?;
    // Only a complete one gets the name that later calls look for.
    fs::rename(cache.join("otelcol.partial"), cache.join("otelcol"))?;
    Ok(program)
}

fn fetch_with_retries(cache: &Path) -> Result<()> {
    let partial = cache.join("lib.partial");
    retry(|| {
        let mut command = Command::new("mvn");
        command.current_dir(cache);
        command.args([
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
        ]);
        run(command.arg(format!("-DoutputDirectory={}", partial.display())))
    })
    .context("Kafka could not be fetched; is Maven Central reachable (mvn's settings.xml)?")
}

fn project_object_model(version: &str) -> String {
    format!(
        "<project>\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>redrive</groupId>\n  <artifactId>kafka</artifactId>\n  <version>1</version>\n  \
         <dependencies>\n    <dependency>\n      <groupId>org.apache.kafka</groupId>\n      \
         <artifactId>kafka_2.13</artifactId>\n      <version>{version}</version>\n    \
         </dependency>\n  </dependencies>\n</project>\n"
    )
}

fn ensure_java() -> Result<()> {
    let remedy = "install it: apt-get install openjdk-17-jre-headless";
    let output = Command::new("java").arg("-version").output();
    let output = output.with_context(|| format!("Java is missing, which runs Kafka; {remedy}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    match java_version(&text) {
        Some(version) if version < OLDEST_JAVA => {
            bail!("Java {version} is too old for Kafka, which needs {OLDEST_JAVA}; {remedy}")
        }
        // A Java that words its version differently may well do.
        _ => Ok(()),
    }
}

/// Reads `openjdk version "17.0.15" 2025-04-15`, perhaps after a line on the options picked up.
fn java_version(text: &str) -> Option<u32> {
    let (_, after) = text.split_once("version \"")?;
    after
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package])
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // Another apt may run, as it does on a machine that has just booted.
    command.args([
        "-q",
        "-y",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Acquire::Retries=3",
    ]);
    command
}

fn install_with_retries(packages: &[&str]) -> Result<()> {
    retry(|| {
        run(apt_get()
            .args(["install", "--no-install-recommends"])
            .args(packages))
    })
}

/// Networks fail now and then; a fresh CI machine shall not fail with them.
fn retry(mut action: impl FnMut() -> Result<()>) -> Result<()> {
    for attempt in 1..INSTALL_ATTEMPTS {
        match action() {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("attempt {attempt} failed, trying again: {error:#}"),
        }
        std::thread::sleep(std::time::Duration::from_secs(u64::from(attempt) * 5));
    }
    action()
}

/// We start our own brokers; the system's would only take the default ports at the next boot. What
/// was installed before us is left as it was. Without systemd there is nothing to do.
fn keep_services_off_at_boot(packages: &[&str]) {
    if !Path::new("/run/systemd/system").is_dir() {
        return;
    }
    for service in packages
        .iter()
        .filter(|name| ["rabbitmq-server", "prometheus"].contains(name))
    {
        let _ = Command::new("systemctl")
            .args(["--quiet", "disable", service])
            .status();
    }
}

/// Keeps packages from starting their services while they are installed.
struct ServicePolicy {
    is_ours: bool,
}

impl ServicePolicy {
    fn deny_starts() -> Result<Self> {
        const OURS: &str =
            "#!/bin/sh\n# Made by Redrive's xtask for the time of an installation.\nexit 101\n";
        let present = fs::read_to_string(SERVICE_POLICY);
        // One that an interrupted run of ours left behind counts as ours.
        if present.is_ok_and(|text| text != OURS) {
            return Ok(Self { is_ours: false });
        }
        fs::write(SERVICE_POLICY, OURS)?;
        let policy = Self { is_ours: true };
        run(Command::new("chmod").args(["755", SERVICE_POLICY]))?;
        Ok(policy)
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(SERVICE_POLICY);
        }
    }
}
