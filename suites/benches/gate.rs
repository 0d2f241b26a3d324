//! The gate over many nights, simulated from real runs of the embedded stack: how often it wakes somebody for nothing, and when it
//! catches a TTFT that has become 5 % longer, and a flaw.
//!
//!   cargo bench --bench gate                  makes the real runs first, for some minutes
//!   cargo bench --bench gate -- FOLDER        takes the nights of FOLDER, as `ci/nightly` leaves them
//!
//! Each simulated night is a real one, drawn at random (what runs differ by), whose requests are drawn again (what a run is spread by).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use poolproof_harness::load::record::Times;
use poolproof_harness::report::compare::compare;
use poolproof_harness::report::compare::drift::drifts;
use poolproof_harness::report::compare::gate::Gate;
use poolproof_harness::report::compare::records::Records;
use poolproof_harness::verdict::Verdict;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const REAL_RUNS: usize = 8;
const HISTORIES: u64 = 100;
const NIGHTS: usize = 50;
/// The first night that is slower.
const SLOWER_FROM: usize = 30;
const SLOWER: f64 = 1.05;
const FLAW: &str = "unknown-503";

const GATE: &str = r#"
[rules]
no-must-case-worse = { verdicts = "must" }
ttft-p50 = { figure = "load chat ttft p50", worse_percent = 50 }
ttft-p50-drift = { drift = "load chat ttft p50", worse_percent = 2 }
"#;

fn main() -> Result<()> {
    let folder = std::env::args().skip(1).find(|it| !it.starts_with("--"));
    let temporary = tempfile::tempdir()?;
    let folder = match folder {
        Some(folder) => PathBuf::from(folder),
        None => make(temporary.path())?,
    };
    let (real, _) = Records::read_all(&folder)?;
    let real: Vec<Records> = real
        .into_iter()
        .filter(|it| it.load.is_some() && it.run.is_some())
        .collect();
    ensure!(real.len() >= 3, "{}: fewer than 3 nights", folder.display());
    let flawed = flawed(temporary.path())?;
    let gate_file = temporary.path().join("gate.toml");
    std::fs::write(&gate_file, GATE)?;
    let gate = Gate::load(&gate_file)?;

    let p50 = real
        .iter()
        .filter_map(|it| p50_ms(it.load.as_ref()?.classes.first()?.times.get("ttft")?));
    println!(
        "{} real nights, TTFT p50 {:.3?} ms",
        real.len(),
        p50.collect::<Vec<f64>>()
    );
    let (mut alarms, mut alarm_nights, mut caught, mut missed) = (0, 0, Vec::new(), 0);
    for history in 0..HISTORIES {
        let mut rng = ChaCha8Rng::seed_from_u64(history);
        let nights: Vec<Records> = (0..NIGHTS)
            .map(|night| simulate(&real, night, &mut rng))
            .collect::<Result<_>>()?;
        let trips = |night: usize| -> bool {
            let (baseline, run) = (&nights[0], &nights[night]);
            let moved = drifts(&nights[..night], run);
            let ruled = gate.judge(
                &compare(baseline, run, 0.05),
                Some(&moved),
                baseline.started(),
            );
            ruled.iter().any(|it| it.verdict == Verdict::Fail)
        };
        let false_nights = (1..SLOWER_FROM).filter(|night| trips(*night)).count();
        alarm_nights += false_nights;
        alarms += usize::from(false_nights > 0);
        match (SLOWER_FROM..NIGHTS).find(|night| trips(*night)) {
            Some(night) => caught.push(night + 1 - SLOWER_FROM),
            None => missed += 1,
        }
    }
    caught.sort_unstable();
    let quantile = |q: f64| {
        caught.get(((caught.len() as f64 * q) as usize).min(caught.len().saturating_sub(1)))
    };
    println!(
        "{HISTORIES} histories of {NIGHTS} nights, {SLOWER} times the TTFT from night {SLOWER_FROM} on:\n  \
         false alarms before: in {alarms} histories, on {alarm_nights} of {} nights\n  \
         caught in {} of {HISTORIES}, after {:?} nights in half of them, after {:?} in nine of ten; missed in {missed}",
        HISTORIES as usize * (SLOWER_FROM - 1),
        caught.len(),
        quantile(0.5),
        quantile(0.9),
    );
    let ruled = gate.judge(
        &compare(&real[0], &flawed, 0.05),
        Some(&[]),
        real[0].started(),
    );
    let tripped: Vec<_> = ruled
        .iter()
        .filter(|it| it.verdict == Verdict::Fail)
        .collect();
    println!("a night with the flaw {FLAW}: {tripped:?}");
    ensure!(!tripped.is_empty(), "the flaw was let through");
    Ok(())
}

fn make(folder: &Path) -> Result<PathBuf> {
    poolproof(&["load", "calibrate"])?;
    for number in 0..REAL_RUNS {
        let (out, seed) = (folder.join(format!("night-{number}")), number.to_string());
        let out = out.to_str().context("a folder")?;
        poolproof(&["run", "routing", "--out", out])?;
        poolproof(&[
            "load",
            "steady-chat",
            "--duration",
            "25",
            "--seed",
            &seed,
            "--out",
            out,
        ])?;
    }
    Ok(folder.to_owned())
}

fn flawed(folder: &Path) -> Result<Records> {
    let out = folder.join("flawed");
    poolproof(&[
        "run",
        "routing",
        "--flaw",
        FLAW,
        "--out",
        out.to_str().context("a folder")?,
    ])?;
    Records::read(&out)
}

/// Its exit code is that of the verdict; whether there is a record is for the reader.
fn poolproof(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.args(arguments).stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null()).status()?;
    Ok(())
}

fn simulate(real: &[Records], night: usize, rng: &mut impl Rng) -> Result<Records> {
    let mut records = real[rng.random_range(0..real.len())].clone();
    let started =
        jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(24 * (night as i64 + 1));
    records.overhead = None;
    if let Some(run) = &mut records.run {
        run.started = started;
    }
    let load = records.load.as_mut().context("a load record")?;
    load.started = started;
    for class in &mut load.classes {
        if let Some(times) = class.times.get_mut("ttft") {
            let factor = if night >= SLOWER_FROM { SLOWER } else { 1.0 };
            redraw(times, factor, rng);
        }
    }
    Ok(records)
}

/// As many values, drawn from those that there were, so many times as long.
fn redraw(times: &mut Times, factor: f64, rng: &mut impl Rng) {
    let mut values: Vec<u64> = Vec::new();
    for (us, count) in &times.histogram_us {
        values.extend(std::iter::repeat_n(*us, *count as usize));
    }
    let mut drawn: Vec<u64> = (0..values.len())
        .map(|_| (values[rng.random_range(0..values.len())] as f64 * factor) as u64)
        .collect();
    drawn.sort_unstable();
    times.histogram_us = drawn
        .chunk_by(|a, b| a == b)
        .map(|it| (it[0], it.len() as u64))
        .collect();
    let n = drawn.len() as f64;
    for percentile in &mut times.percentiles {
        let rank = (n * percentile.percentile / 100.0).ceil() as usize;
        percentile.ms = drawn
            .get(rank.saturating_sub(1))
            .map(|us| *us as f64 / 1000.0);
    }
}

fn p50_ms(times: &Times) -> Option<f64> {
    times.percentile_ms(50.0).flatten()
}
