//! The binary: parses the command line and runs it.

use std::process::ExitCode;

use clap::Parser as _;
use redrive::cli::Cli;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    // One TLS implementation for all clients, chosen before any of them starts. It fails only if one
    // was installed already.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    Cli::parse().run().await
}
