//! The binary: parses the command line and runs it.

use std::process::ExitCode;

use clap::Parser as _;
use redrive::cli::Cli;

fn main() -> ExitCode {
    redrive::allocator::give_back_large_blocks();
    let cli = Cli::parse();
    // The child that runs programs has limits that a runtime's threads would not fit into.
    if cli.is_sandbox_worker() {
        return redrive::sandbox::run_worker();
    }
    if cli.is_short() {
        redrive::cli::end_without_a_reader();
    }
    run(cli)
}

#[tokio::main]
#[expect(
    clippy::print_stderr,
    reason = "the last word of a process that failed"
)]
async fn run(cli: Cli) -> ExitCode {
    // One TLS implementation for all clients, chosen before any of them starts. It fails only if one
    // was installed already.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    match cli.run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
