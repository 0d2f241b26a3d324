//! Whether this machine lets a measurement run: a process that did not run for a while, or that found no descriptor or port, measures
//! itself, not a server.

use std::error::Error;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// The time between two looks at this process.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The shortest pause that is kept.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The most pauses that are kept. The oldest ones go first.
const PAUSES_MAX: usize = 1024;

/// The pauses of this process, each with its end, and the last look.
struct Looks {
    last: Instant,
    pauses: Vec<(Instant, Duration)>,
}

static LOOKS: LazyLock<Mutex<Looks>> = LazyLock::new(|| {
    let looks = Mutex::new(Looks {
        last: Instant::now(),
        pauses: Vec::new(),
    });
    // Without this thread, no pause is seen but the one in which it was asked: that is worse, and no reason to end.
    let _ = std::thread::Builder::new()
        .name("looks".to_owned())
        .spawn(look);
    looks
});

/// How often this process lacked a descriptor or a port.
static LACKS: AtomicU64 = AtomicU64::new(0);

/// Looks at this process again and again, until it ends.
fn look() {
    loop {
        std::thread::sleep(LOOK_EVERY);
        lock(&LOOKS).look();
        // Servers in this process cannot report what they lack.
        if let Err(error) = File::open("/dev/null") {
            note(&error);
        }
    }
}

impl Looks {
    fn look(&mut self) {
        let now = Instant::now();
        let pause = now.saturating_duration_since(self.last + LOOK_EVERY);
        self.last = now;
        if pause >= PAUSE_MIN {
            if self.pauses.len() == PAUSES_MAX {
                self.pauses.remove(0);
            }
            self.pauses.push((now, pause));
        }
    }
}

/// Begins to look for pauses.
pub fn watch() {
    LazyLock::force(&LOOKS);
}

/// The longest time since `from` in which this process did not run, because it was suspended or the machine was too busy. Short pauses
/// do not count.
pub fn longest_pause(from: Instant) -> Duration {
    let mut looks = lock(&LOOKS);
    // A pause may have ended just now, before the next look.
    looks.look();
    let since = looks.pauses.iter().filter(|(end, _)| *end > from);
    let pauses = since.map(|(end, pause)| (*pause).min(end.saturating_duration_since(from)));
    pauses.max().unwrap_or_default()
}

/// How often this process lacked a descriptor or a port since its start.
pub fn lacks() -> u64 {
    LACKS.load(Ordering::Relaxed)
}

/// Counts an error that comes from a lack of descriptors or ports on this machine. Returns whether it is one.
pub fn note(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let system = error.downcast_ref::<io::Error>();
        if system.is_some_and(is_lack) {
            LACKS.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        // The source of an error of I/O is that of the error in it.
        cause = match system.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// Whether an error of the system means that this process or this machine has no descriptor, or no port, left.
pub fn is_lack(error: &io::Error) -> bool {
    use nix::errno::Errno;
    const LACK: [Errno; 3] = [Errno::EADDRNOTAVAIL, Errno::EMFILE, Errno::ENFILE];
    let code = error.raw_os_error().map(Errno::from_raw);
    code.is_some_and(|code| LACK.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn a_pause_is_found_by_its_end_and_counts_from_the_start_of_the_measurement() {
        let start = Instant::now();
        let mut looks = Looks {
            last: start,
            pauses: Vec::new(),
        };
        looks.look();
        assert!(looks.pauses.is_empty());
        looks.last = start - Duration::from_secs(3);
        looks.look();
        let (end, pause) = looks.pauses[0];
        assert!(
            end >= start && pause >= Duration::from_millis(2900),
            "{pause:?}"
        );
        assert!(longest_pause(Instant::now()) < PAUSE_MIN);
    }

    #[test]
    fn a_lack_is_found_behind_other_errors() {
        let before = lacks();
        let lack = || io::Error::from(Errno::EMFILE);
        assert!(note(&lack()));
        assert!(note(&io::Error::other(lack())));
        assert!(!note(&io::Error::from(Errno::ECONNREFUSED)));
        assert!(lacks() >= before + 2);
    }
}
