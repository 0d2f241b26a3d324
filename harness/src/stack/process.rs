//! Child processes: started so that they end with us, their output kept in files, stopped in order.

use std::convert::Infallible;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a process may take to end after SIGTERM; Envoy and the endpoint picker end within milliseconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How much of the end of a log is shown when a process has failed.
const LOG_TAIL_BYTES: usize = 2000;

/// How children are started.
#[derive(Clone, Debug)]
pub(super) struct Nursery {
    /// The poolproof program: a child of it becomes the program that is wanted.
    pub(super) program: PathBuf,
    /// The folder for what children write.
    pub(super) logs: PathBuf,
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Nursery {
    /// One whose children write into a new folder, which is gone when what is returned beside it is dropped.
    pub(super) fn in_new_folder(program: PathBuf) -> Result<(Self, TempDir)> {
        let folder = tempfile::Builder::new().prefix("poolproof-").tempdir();
        let folder = folder.context("making a folder for what processes write")?;
        let logs = folder.path().to_owned();
        Ok((Self { program, logs }, folder))
    }

    /// Starts a program that ends when we do. To be called on a thread that lives as long as the child is to.
    pub(super) fn start(&self, name: &str, command: &Command) -> Result<Process> {
        let stdout = self.logs.join(format!("{name}.out"));
        let stderr = self.logs.join(format!("{name}.err"));
        let create = |path: &Path| {
            File::create(path).with_context(|| format!("creating {}", path.display()))
        };
        let mut child = Command::new(&self.program);
        child
            .arg("exec-child")
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(create(&stdout)?)
            .stderr(create(&stderr)?)
            // Ctrl-C in a terminal goes to the whole group; it is for us to stop children in order.
            .process_group(0);
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => child.env(variable, value),
                None => child.env_remove(variable),
            };
        }
        let child = child.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Process {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        })
    }
}

impl Process {
    /// Fails with the end of its log if it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait().context("looking after a process")? else {
            return Ok(());
        };
        bail!(
            "{} ended: {status}; it said: {}",
            self.name,
            self.log_tail()
        )
    }

    /// Waits until `ready` gives a value. Fails if the process ends before, or after `timeout`.
    pub(super) async fn wait_for<T, F>(
        &mut self,
        what: &str,
        timeout: Duration,
        ready: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Option<T>>,
    {
        let deadline = Instant::now() + timeout;
        loop {
            self.check()?;
            if let Some(value) = ready().await {
                return Ok(value);
            }
            ensure!(
                Instant::now() < deadline,
                "{}: no {what} within {timeout:?}; it said: {}",
                self.name,
                self.log_tail()
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until it has ended by itself, and gives what it wrote to standard output. Fails if it did not succeed, or does
    /// not end within `timeout`; then it is killed.
    pub(super) async fn finish(mut self, timeout: Duration) -> Result<String> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            let status = self.child.try_wait().context("looking after a process")?;
            match status {
                Some(status) if status.success() => {
                    return std::fs::read_to_string(&self.stdout)
                        .with_context(|| format!("output of {}", self.name));
                }
                Some(status) => bail!("{}: {status}: {}", self.name, self.log_tail()),
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
        bail!("{}: not done within {timeout:?}", self.name)
    }

    /// The file of what it writes to standard output.
    pub(super) fn stdout(&self) -> PathBuf {
        self.stdout.clone()
    }

    /// Asks it to end, and waits until it has; kills it if it takes too long.
    pub(super) async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        tracing::warn!(
            "{} did not end within {STOP_TIMEOUT:?} and is killed",
            self.name
        );
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by itself; it is still ours to wait for, so the pid is nobody else's.
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    fn log_tail(&self) -> String {
        let text = [&self.stderr, &self.stdout]
            .map(|path| std::fs::read(path).unwrap_or_default())
            .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_else(|| "nothing".to_owned());
        let start = text.len().saturating_sub(LOG_TAIL_BYTES);
        let start = (start..text.len()).find(|at| text.is_char_boundary(*at));
        text[start.unwrap_or(0)..].to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::SIGKILL);
            // It cannot resist, and leaves no zombie.
            let _ = self.child.wait();
        }
    }
}

/// Becomes another program, which is killed when the thread that started us ends. `parent` is the process of that thread.
pub fn exec_child(parent: u32, command: &[String]) -> Result<Infallible> {
    set_pdeathsig(Signal::SIGKILL).context("tying a process to its parent")?;
    // The parent may have ended before the line above.
    ensure!(
        std::os::unix::process::parent_id() == parent,
        "the parent has ended"
    );
    let (program, arguments) = command.split_first().context("no program")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("starting {program}"))
}
