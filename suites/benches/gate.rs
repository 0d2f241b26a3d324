//! The gate over many nights, simulated from real runs of the embedded stack: how often it wakes somebody for nothing, and when it
//! catches a TTFT that has become 5 % longer, and a flaw. Two gates: one looks at the TTFT itself, one at its ratio to that of round robin
//! in the same run.
//!
//!   cargo bench --bench gate                  makes the real runs first, for some minutes
//!   cargo bench --bench gate -- FOLDER        takes the nights of FOLDER, as `ci/nightly` leaves them
//!
//! Each simulated night is a real one, drawn at random: what runs differ by. Of the TTFT itself its requests are drawn again: what a run is
//! spread by.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::Series;
use poolproof_records::load::Times;
use poolproof_records::load::overhead::Figure;
use poolproof_report::compare::compare;
use poolproof_report::compare::drift::drifts;
use poolproof_report::compare::figure::comparable;
use poolproof_report::compare::gate::Gate;
use poolproof_report::compare::records::Records;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const REAL_RUNS: usize = 8;
const HISTORIES: u64 = 100;
const NIGHTS: usize = 50;
/// The first night that is slower.
const SLOWER_FROM: usize = 30;
const SLOWER: f64 = 1.05;
const FLAW: &str = "unknown-503";

/// The figures that are looked at.
const FIGURES: [&str; 2] = [
    "load chat ttft p50",
    "overhead ttft p50 gateway/round-robin",
];

fn main() -> Result<()> {
    let folder = std::env::args().skip(1).find(|it| !it.starts_with("--"));
    let temporary = tempfile::tempdir()?;
    let folder = match folder {
        Some(folder) => PathBuf::from(folder),
        None => make(temporary.path())?,
    };
    let (mut real, _) = Records::read_all(&folder)?;
    real.retain(|it| it.run.is_some() && it.load.is_some() && it.overhead.is_some());
    ensure!(real.len() >= 3, "{}: fewer than 3 nights", folder.display());
    println!(
        "{} real nights; {HISTORIES} histories of {NIGHTS} nights, {SLOWER} times the TTFT from night {SLOWER_FROM} on",
        real.len()
    );
    for figure in FIGURES {
        let values = real
            .iter()
            .flat_map(|it| comparable(it, it))
            .filter(|it| it.name == figure);
        println!(
            "{figure}: {:.3?}",
            values.map(|it| it.value).collect::<Vec<f64>>()
        );
        let gate = gate(temporary.path(), figure)?;
        println!("  {}", simulate_all(&real, &gate)?);
    }
    let gate = gate(temporary.path(), FIGURES[0])?;
    let flawed = flawed(temporary.path())?;
    let ruled = gate.judge(
        &compare(&real[0], &flawed, MARGIN),
        Some(&[]),
        real[0].started(),
    );
    let mut tripped = ruled.iter().filter(|it| it.verdict == Verdict::Fail);
    let tripped = tripped.next().context("the flaw was let through")?;
    println!(
        "a night with the flaw {FLAW}: {}: {}",
        tripped.rule, tripped.why
    );
    Ok(())
}

const MARGIN: f64 = 0.05;

fn gate(folder: &Path, figure: &str) -> Result<Gate> {
    let file = folder.join("gate.toml");
    let rules = format!(
        "[rules]\nno-must-case-worse = {{ verdicts = 'must' }}\ndrift = {{ drift = '{figure}', worse_percent = 2 }}\n"
    );
    std::fs::write(&file, rules)?;
    Gate::load(&file)
}

/// False alarms, and when the change is caught.
fn simulate_all(real: &[Records], gate: &Gate) -> Result<String> {
    let (mut alarms, mut alarm_nights, mut caught) = (0, 0, Vec::new());
    for history in 0..HISTORIES {
        let mut rng = ChaCha8Rng::seed_from_u64(history);
        let nights: Vec<Records> = (0..NIGHTS)
            .map(|night| simulate(real, night, &mut rng))
            .collect::<Result<_>>()?;
        let trips = |night: usize| -> bool {
            let (baseline, run) = (&nights[0], &nights[night]);
            let moved = drifts(&nights[..night], run);
            let compared = compare(baseline, run, MARGIN);
            let ruled = gate.judge(&compared, Some(&moved), baseline.started());
            ruled.iter().any(|it| it.verdict == Verdict::Fail)
        };
        let false_nights = (1..SLOWER_FROM).filter(|night| trips(*night)).count();
        alarm_nights += false_nights;
        alarms += usize::from(false_nights > 0);
        let first = (SLOWER_FROM..NIGHTS).find(|night| trips(*night));
        caught.extend(first.map(|night| night + 1 - SLOWER_FROM));
    }
    caught.sort_unstable();
    let quantile = |q: f64| {
        caught
            .get((caught.len() as f64 * q) as usize)
            .copied()
            .unwrap_or(0)
    };
    Ok(format!(
        "false alarms before: on {alarm_nights} of {} nights, in {alarms} histories; caught in {}, after at most {} nights in half of these, {} in \
         nine of ten",
        HISTORIES as usize * (SLOWER_FROM - 1),
        caught.len(),
        quantile(0.5),
        quantile(0.9),
    ))
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
    let factor = if night >= SLOWER_FROM { SLOWER } else { 1.0 };
    if let Some(run) = &mut records.run {
        run.started = started;
    }
    if let Some(overhead) = &mut records.overhead {
        overhead.started = started;
        for compared in overhead
            .compared
            .iter_mut()
            .filter(|it| matches!(it.which(), Some(Figure::Time(Series::Ttft, _))))
        {
            if let Some((ratio, (low, high))) = &mut compared.ratio {
                (*ratio, *low, *high) = (*ratio * factor, *low * factor, *high * factor);
            }
        }
    }
    let load = records.load.as_mut().context("a load record")?;
    load.started = started;
    for class in &mut load.classes {
        if let Some(times) = class.times.get_mut(Series::Ttft.name()) {
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
