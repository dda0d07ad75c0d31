//! The binary: parses the command line and runs it.

use std::process::ExitCode;

use clap::Parser as _;
use redrive::cli::Cli;

#[tokio::main]
#[expect(
    clippy::print_stderr,
    reason = "the last word of a process that failed"
)]
async fn main() -> ExitCode {
    // One TLS implementation for all clients, chosen before any of them starts. It fails only if one
    // was installed already.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    match Cli::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
