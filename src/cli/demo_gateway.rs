//! Repairs or breaks the payment gateway of a running sample workload.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::demo::{GatewayFile, GatewayState};

/// What is to be done with the payment gateway, and whose.
#[derive(Debug, clap::Args)]
pub(super) struct DemoGatewayArgs {
    action: Action,
    /// The directory that the running `demo-workload` was given.
    #[arg(long, env = "REDRIVE_DEMO_STATE_DIR")]
    state_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    /// Payments succeed again; replays of those that timed out succeed, too.
    Repair,
    /// Payments through one provider time out.
    Break,
    /// Say which of the two it is.
    Status,
}

#[expect(clippy::print_stdout, reason = "the state is what the command is for")]
pub(super) fn run(args: &DemoGatewayArgs) -> anyhow::Result<ExitCode> {
    let file = GatewayFile::in_directory(&args.state_dir);
    match args.action {
        Action::Repair => file.write(GatewayState::Working)?,
        Action::Break => file.write(GatewayState::Broken)?,
        Action::Status => {}
    }
    println!("the payment gateway is {}", file.read()?.as_str());
    Ok(ExitCode::SUCCESS)
}
