//! A limit on what is kept of all answers together. Each answer has a limit of its own, but thousands may be kept at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most that is kept of all answers of a case, or of a load run, at a time, in bytes. Whatever servers send, a process then stays
/// below 256 MiB. A correct case keeps some answers of 4 MiB (`protocol/large-answers`).
pub const KEPT_LIMIT_BYTES: usize = 112 << 20;

/// How much is kept of one answer; counted until it is dropped.
#[derive(Debug, Default)]
pub struct Kept {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Kept {
    /// Nothing yet, of an answer that is kept with others: `all` counts the bytes of all of them.
    pub fn with(all: Arc<AtomicUsize>) -> Self {
        Self { bytes: 0, all }
    }

    /// Sets how much is kept of this answer. Returns whether all answers together are within [`KEPT_LIMIT_BYTES`].
    pub fn set(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.all.fetch_add(bytes, Ordering::Relaxed);
        let all = self.all.fetch_sub(before, Ordering::Relaxed) - before;
        all <= KEPT_LIMIT_BYTES
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        self.all.fetch_add(self.bytes, Ordering::Relaxed);
        Self {
            bytes: self.bytes,
            all: self.all.clone(),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_until_they_are_dropped_and_copies_count_too() {
        let all = Arc::new(AtomicUsize::new(0));
        let mut one = Kept::with(all.clone());
        assert!(one.set(KEPT_LIMIT_BYTES));
        let mut other = Kept::with(all.clone());
        assert!(!other.set(1));
        assert!(one.set(10) && other.set(20));
        let copy = one.clone();
        assert_eq!(all.load(Ordering::Relaxed), 40);
        drop((one, copy));
        assert_eq!(all.load(Ordering::Relaxed), 20);
        drop(other);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
