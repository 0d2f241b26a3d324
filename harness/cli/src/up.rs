//! `poolproof up` and `down`: keep a stack running, and stop kept stacks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stack::StackArgs;
use super::{Exit, Failure, stop_on_signal};
use poolproof_client::poll;
use poolproof_stack::places::kind;
use poolproof_stack::{Stack, containers, is_poolproof};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof up                                    the embedded stack, until Ctrl-C
  poolproof up --print-target > target.toml &     keep it, and run cases against it
  poolproof run --stack url --target target.toml
  poolproof down")]
pub(super) struct Args {
    #[command(flatten)]
    stack: StackArgs,
    /// Print the target as TOML once the stack is up, in the format that `--stack url` reads
    #[arg(long)]
    print_target: bool,
}

pub(super) async fn up(args: Args) -> Result<Exit, Failure> {
    let options = args.stack.options().map_err(Failure::usage)?;
    let stop = stop_on_signal()?;
    let mut tell = |step: &str| eprintln!("{step}");
    let stack = tokio::select! {
        started = Stack::start(&options, &mut tell) => started?,
        () = stop.cancelled() => {
            eprintln!("interrupted before the stack was up");
            return Ok(Exit::Interrupted);
        }
    };
    let kept = Kept::new(&stack.name)?;
    if args.print_target {
        let text = toml::to_string(&stack.target).context("writing the target")?;
        println!("{text}");
    }
    eprintln!(
        "{} is up at {}; Ctrl-C or `poolproof down` stops it",
        stack.name, stack.target.url
    );
    stop.cancelled().await;
    stack.stop().await;
    drop(kept);
    Ok(Exit::Passed)
}

pub(super) async fn down() -> Result<Exit, Failure> {
    let mut stopped = 0;
    for file in kept_files()? {
        if stop_kept(&file).await? {
            stopped += 1;
        }
    }
    let program = std::env::current_exe().context("finding the poolproof program")?;
    if kind::down(program).await? {
        stopped += 1;
    }
    if containers::remove_strays().await? > 0 {
        stopped += 1;
    }
    println!(
        "{}",
        match stopped {
            0 => "no stack is kept".to_owned(),
            1 => "1 stack stopped".to_owned(),
            more => format!("{more} stacks stopped"),
        }
    );
    Ok(Exit::Passed)
}

/// Marks that this process keeps a stack: a file named after its pid, removed when the process ends.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str) -> Result<Self> {
        let folder = folder()?;
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let file = folder.join(std::process::id().to_string());
        std::fs::write(&file, name).with_context(|| format!("writing {}", file.display()))?;
        Ok(Self(file))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // It may already have been removed, which is fine.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn folder() -> Result<PathBuf> {
    Ok(poolproof_records::folders::state()?.join("stacks"))
}

fn kept_files() -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder()?) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).context("reading the list of kept stacks"),
    }
}

/// Stops the process that a file names and waits for its end. Returns false if there was no such process.
async fn stop_kept(file: &Path) -> Result<bool> {
    const TIMEOUT: Duration = Duration::from_secs(30);
    let pid = file
        .file_name()
        .and_then(|name| name.to_str()?.parse().ok());
    let Some(pid) = pid.filter(|pid| is_poolproof(*pid)) else {
        // The process was killed; its pid may belong to another program by now.
        std::fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
        return Ok(false);
    };
    kill(Pid::from_raw(pid), Signal::SIGTERM).with_context(|| format!("stopping process {pid}"))?;
    let what = format!("process {pid} ends after SIGTERM");
    let gone = poll::until(what, TIMEOUT, poll::INTERVAL, || async {
        (!is_poolproof(pid)).then_some(())
    });
    gone.await?;
    Ok(true)
}
