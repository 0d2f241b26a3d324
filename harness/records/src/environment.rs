//! The machine of a run, with the limits that determine what a client can do. It contains neither host names nor user
//! names.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;

/// The resources of a client at the start of a run. Values that the machine does not report are absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// The processors available to this process.
    pub cores: usize,
    /// Memory of the machine, in bytes.
    pub memory_bytes: Option<u64>,
    /// The memory available to this process, in bytes, if a cgroup limits it below the memory of the machine.
    pub memory_limit_bytes: Option<u64>,
    /// The limit on open files of this process: soft, hard.
    pub open_files: Option<(u64, u64)>,
    /// The range of ephemeral ports: first, last.
    pub ephemeral_ports: Option<(u16, u16)>,
    /// The kernel and its release.
    pub kernel: Option<String>,
    /// The kernel's clock source.
    pub clock_source: Option<String>,
    /// Whether this process runs in a container.
    pub container: bool,
    /// Whether the processor reports a hypervisor.
    pub virtual_machine: bool,
    /// The load average of the minute before the run.
    pub load_average: Option<f64>,
}

impl Environment {
    /// The environment of this process, now.
    pub fn here() -> Self {
        let memory_bytes = read("/proc/meminfo").and_then(|text| memory(&text));
        Self {
            cores: limits::cores(),
            memory_bytes,
            memory_limit_bytes: memory_limit(memory_bytes),
            open_files: limits::open_files(),
            ephemeral_ports: limits::ephemeral_ports(),
            kernel: kernel().or_else(|| Some(std::env::consts::OS.to_owned())),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            container: in_container(),
            virtual_machine: read("/proc/cpuinfo").is_some_and(|text| is_virtual(&text)),
            load_average: read("/proc/loadavg")
                .and_then(|text| text.split_whitespace().next()?.parse().ok()),
        }
    }

    /// The environment in words.
    pub fn in_words(&self) -> String {
        const GIB: f64 = (1u64 << 30) as f64;
        let mut parts = vec![format!("{} processors", self.cores)];
        let mut add = |part: Option<String>| parts.extend(part);
        add(self
            .load_average
            .map(|load| format!("load {load:.2} before")));
        add(self
            .memory_bytes
            .map(|bytes| format!("{:.1} GiB of memory", bytes as f64 / GIB)));
        add(self
            .memory_limit_bytes
            .map(|bytes| format!("limited to {:.1} GiB", bytes as f64 / GIB)));
        add(self
            .open_files
            .map(|(soft, hard)| format!("{soft} open files (hard limit {hard})")));
        add(self
            .ephemeral_ports
            .map(|(first, last)| format!("ports {first} to {last}")));
        add(self.kernel.clone());
        add(self
            .clock_source
            .as_ref()
            .map(|source| format!("clock {source}")));
        add(self.container.then(|| "in a container".to_owned()));
        add(self
            .virtual_machine
            .then(|| "on a virtual machine".to_owned()));
        parts.join(", ")
    }
}

fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

/// The memory of the machine in bytes, from `/proc/meminfo`, whose unit is 1,024 bytes.
fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The memory limit of the cgroup (version 2, else 1) at the root of this process's view. A limit above all memory
/// counts as none.
fn memory_limit(memory_bytes: Option<u64>) -> Option<u64> {
    let limit = read("/sys/fs/cgroup/memory.max")
        .or_else(|| read("/sys/fs/cgroup/memory/memory.limit_in_bytes"))?;
    let limit: u64 = limit.parse().ok()?;
    memory_bytes
        .is_none_or(|memory| limit < memory)
        .then_some(limit)
}

fn kernel() -> Option<String> {
    let name = read("/proc/sys/kernel/ostype")?;
    let release = read("/proc/sys/kernel/osrelease")?;
    Some(format!("{name} {release}"))
}

/// Checks the marker files of Docker, Podman and Kubernetes.
fn in_container() -> bool {
    Path::new("/.dockerenv").exists()
        || Path::new("/run/.containerenv").exists()
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// Whether the processor flags include the one that hypervisors set (Linux, cpufeatures.h).
fn is_virtual(cpuinfo: &str) -> bool {
    let mut flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
    flags.any(|line| line.split_whitespace().any(|flag| flag == "hypervisor"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_of_linux_are_parsed() {
        let meminfo = "MemTotal:       24684084 kB\nMemFree:  1 kB\n";
        assert_eq!(memory(meminfo), Some(24_684_084 * 1024));
        assert_eq!(memory("MemTotal: lots"), None);
        assert!(is_virtual("processor: 0\nflags\t\t: fpu hypervisor sse"));
        assert!(!is_virtual("model name: hypervisor\nflags\t\t: fpu sse"));
    }

    #[test]
    fn unknown_values_are_left_out_of_the_words() {
        let bare = Environment {
            cores: 2,
            memory_bytes: None,
            memory_limit_bytes: None,
            open_files: None,
            ephemeral_ports: None,
            kernel: None,
            clock_source: None,
            container: false,
            virtual_machine: false,
            load_average: None,
        };
        assert_eq!(bare.in_words(), "2 processors");
        let full = Environment {
            memory_bytes: Some(3 << 29),
            clock_source: Some("tsc".to_owned()),
            container: true,
            ..bare
        };
        assert_eq!(
            full.in_words(),
            "2 processors, 1.5 GiB of memory, clock tsc, in a container"
        );
    }

    #[test]
    fn the_machine_of_this_test_has_processors_files_and_ports() {
        let here = Environment::here();
        assert!(here.cores > 0);
        assert!(here.open_files.is_some_and(|(soft, hard)| soft <= hard));
        assert!(
            here.ephemeral_ports
                .is_none_or(|(first, last)| first <= last)
        );
        let text = serde_json::to_string(&here).unwrap();
        assert_eq!(serde_json::from_str::<Environment>(&text).unwrap(), here);
    }
}
