//! Certificates for the cluster of the tests and for the Collector of a trial, made once by `openssl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

const DAYS: &str = "3650";

/// What brokers and clients are given, all in one folder.
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// The certificates in this folder; makes those that are missing.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self> {
        let certificates = Self {
            folder: folder.to_owned(),
        };
        if certificates.is_complete() {
            return Ok(certificates);
        }
        fs::create_dir_all(folder)?;
        certificates.authority("ca")?;
        // Nobody's certificate is signed by this one.
        certificates.authority("other-ca")?;
        certificates.signed("node", "subjectAltName=IP:127.0.0.1")?;
        certificates.signed("client", "extendedKeyUsage=clientAuth")?;
        certificates.join("node.pem", &["node.key", "node.crt", "ca.pem"])?;
        certificates.join("client.pem", &["client.crt", "ca.pem"])?;
        Ok(certificates)
    }

    pub(crate) fn authority_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Key, certificate and authority of the brokers.
    pub(super) fn node_file(&self) -> PathBuf {
        self.folder.join("node.pem")
    }

    /// The same certificate without its authority, and the key, for a server that wants them apart.
    pub(crate) fn server_files(&self) -> [PathBuf; 2] {
        ["node.crt", "node.key"].map(|name| self.folder.join(name))
    }

    /// Written last.
    fn is_complete(&self) -> bool {
        self.folder.join("client.pem").is_file()
    }

    fn authority(&self, name: &str) -> Result<()> {
        let mut command = self.openssl(&["req", "-x509", "-nodes", "-days", DAYS]);
        command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        command.args(["-subj", &format!("/CN=redrive-test-{name}")]);
        command.args(["-keyout", &format!("{name}.key")]);
        run(command.args(["-out", &format!("{name}.pem")]))
    }

    fn signed(&self, name: &str, extension: &str) -> Result<()> {
        let mut request = self.openssl(&["req", "-nodes", "-newkey", "ec"]);
        request.args(["-pkeyopt", "ec_paramgen_curve:P-256"]);
        request.args(["-subj", &format!("/CN=redrive-test-{name}")]);
        request.args(["-keyout", &format!("{name}.key")]);
        run(request.args(["-out", &format!("{name}.csr")]))?;
        fs::write(self.folder.join("extensions"), format!("{extension}\n"))?;
        let mut sign = self.openssl(&["x509", "-req", "-days", DAYS, "-CAcreateserial"]);
        sign.args(["-CA", "ca.pem", "-CAkey", "ca.key"]);
        sign.args(["-extfile", "extensions"]);
        sign.args(["-in", &format!("{name}.csr")]);
        run(sign.args(["-out", &format!("{name}.crt")]))
    }

    fn join(&self, name: &str, parts: &[&str]) -> Result<()> {
        let mut joined = String::new();
        for part in parts {
            joined.push_str(&fs::read_to_string(self.folder.join(part))?);
        }
        fs::write(self.folder.join(name), joined)?;
        Ok(())
    }

    fn openssl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("openssl");
        command.current_dir(&self.folder).args(arguments);
        command
    }
}

fn run(command: &mut Command) -> Result<()> {
    let shown = process::shown(command);
    let output = command.output();
    let output = output.with_context(|| format!("cannot run `{shown}`"))?;
    let reason = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{shown}` failed: {reason}");
    Ok(())
}
