//! The child's half: takes limits on itself, then its task, then answers one payload after the other
//! until its input ends.
//!
//! The limits are the kernel's: memory by `RLIMIT_DATA`, files and processes by `RLIMIT_NOFILE` and
//! `RLIMIT_NPROC`, and the processor by `RLIMIT_CPU`, which is moved on before each payload.

use std::io;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::jq::{Made, Program};
use super::schema::SchemaSet;
use super::{Answer, CPU_SECONDS, MEMORY_BYTES, Task, frames};

/// Runs the child; without a runtime, because nothing shall go on beside its task.
pub fn run() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_broken_pipe) => ExitCode::FAILURE,
    }
}

enum Ready {
    Repair(Program),
    Check(SchemaSet),
}

fn work() -> io::Result<()> {
    confine()?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    more_time()?;
    let task = serde_json::from_slice(&frames::read(&mut input)?)?;
    let (reply, ready) = match prepare(task) {
        Ok(ready) => (Ok(()), Some(ready)),
        Err(fault) => (Err(fault), None),
    };
    frames::write(&mut output, &serde_json::to_vec(&reply)?)?;
    let Some(mut ready) = ready else {
        return Ok(());
    };
    loop {
        let name = match frames::read(&mut input) {
            // The parent has no more payloads.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            name => name?,
        };
        let payload = frames::read(&mut input)?;
        more_time()?;
        let answer = ready.answer(&name, &payload);
        frames::write(&mut output, &serde_json::to_vec(&answer)?)?;
    }
}

fn prepare(task: Task) -> Result<Ready, String> {
    Ok(match task {
        Task::Repair { program } => Ready::Repair(Program::compile(&program)?),
        Task::Check { schemas } => Ready::Check(SchemaSet::read(schemas)?),
    })
}

impl Ready {
    fn answer(&mut self, name: &[u8], payload: &[u8]) -> Answer {
        match self {
            Self::Repair(program) => match program.run(payload) {
                Made::Same => Answer::Same,
                Made::Changed(text) => Answer::Changed(text),
                Made::Failed(why) => Answer::Failed(why),
            },
            Self::Check(schemas) => {
                match schemas.violations(&String::from_utf8_lossy(name), payload) {
                    Ok(violations) => Answer::Checked(violations),
                    Err(fault) => Answer::Failed(fault),
                }
            }
        }
    }
}

/// Takes away what no task needs. Pipes that are open stay open.
fn confine() -> io::Result<()> {
    for (resource, most) in [
        (Resource::Data, MEMORY_BYTES),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, 0),
        (Resource::Nproc, 0),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}

/// Gives the next payload its time. The kernel counts whole seconds, so it is up to one more.
fn more_time() -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let used = u64::try_from(used).unwrap_or(0);
    let limit = Rlimit {
        current: Some(used + 1 + CPU_SECONDS),
        maximum: getrlimit(Resource::Cpu).maximum,
    };
    Ok(setrlimit(Resource::Cpu, limit)?)
}
