use std::process::ExitCode;

use super::ConfigArgs;
use crate::app;
use crate::lifecycle::Ending;

pub(super) async fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    let telemetry = app::telemetry::start(&config)?;
    let ending = app::serve(config).await;
    // The last spans are sent before the process ends.
    telemetry.shut_down();
    Ok(match ending? {
        Ending::Clean => ExitCode::SUCCESS,
        Ending::Forced | Ending::Crashed => ExitCode::FAILURE,
    })
}
