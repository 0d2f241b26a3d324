//! `poolproof load calibrate`: measures the error of this tool on this machine.

use anyhow::{Context, Result};
use poolproof_fixtures::stub::Stub;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::progress::Progress;
use crate::{Exit, Failure, print_line, stop_on_signal};
use poolproof_load::calibration::{ITL_MS, TOKENS, TTFT_MS, Written, measure, record};
use poolproof_records::load::calibration::Level;
use poolproof_report::terminal::table;

#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "poolproof sends to its own server on one of two threads; the server logs when it sent each token. The result is saved
    and becomes part of every later record of a load run on this machine."
)]
pub(super) struct Args {
    /// Number of concurrent streams; repeatable
    #[arg(long, value_name = "N", default_values_t = [20, 200, 1000], value_parser = clap::value_parser!(u16).range(1..=10_000))]
    streams: Vec<u16>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn calibrate(args: Args) -> Result<Exit, Failure> {
    let stop = stop_on_signal()?;
    let progress = Progress::new();
    let mut levels = Vec::new();
    for streams in &args.streams {
        progress.running(&format!("{streams} streams"));
        let level = level(usize::from(*streams), &stop).await;
        if stop.is_cancelled() {
            return Ok(Exit::Interrupted);
        }
        levels.push(level?);
    }
    progress.finish();
    let calibration = record(levels);
    let path = calibration.save()?;
    if args.json {
        print_line(&serde_json::to_string_pretty(&calibration).context("writing the calibration")?)
    } else {
        print_line(&render(&calibration.levels));
        print_line(&format!("saved: {}", path.display()));
    }
    Ok(Exit::Passed)
}

/// Measures one level against a stub in this process.
async fn level(streams: usize, stop: &CancellationToken) -> Result<Level> {
    let stub = Stub::recorded(TOKENS as usize, TTFT_MS, ITL_MS)?;
    let url = Url::parse(&format!("http://{}", stub.address()?)).context("the stub's url")?;
    let ended = CancellationToken::new();
    // Dropping this future also stops the stub.
    let _end = ended.clone().drop_guard();
    let serving = tokio::spawn(stub.serve(ended.clone()));
    let end = async || {
        ended.cancel();
        let answers = serving.await.context("the stub")??.into_iter();
        let written = answers.map(|answer| Written {
            arrived_at: answer.arrived_at,
            written_at: answer.written_at,
        });
        Ok(written.collect())
    };
    measure(streams, url, end, stop).await
}

fn render(levels: &[Level]) -> String {
    let headings = [
        "streams",
        "answers",
        "TTFT p50",
        "server",
        "p99",
        "server",
        "error at p99",
        "ITL p50",
        "server",
        "p99",
        "server",
        "error at p99",
        "send lag p99",
        "CPU us/token",
    ];
    let rows = levels.iter().map(|level| {
        let mut row = vec![level.streams.to_string(), level.answers.to_string()];
        for twice in [level.ttft, level.itl] {
            row.extend([
                format!("{:.2}", twice.client_ms.0),
                format!("{:.2}", twice.server_ms.0),
                format!("{:.2}", twice.client_ms.1),
                format!("{:.2}", twice.server_ms.1),
                format!("{:+.2}", twice.error_ms().1),
            ]);
        }
        row.extend([
            format!("{:.3}", level.lag_p99_ms),
            format!("{:.2}", level.cpu_us_per_token),
        ]);
        row
    });
    format!("{}\ntimes in ms", table(&headings, rows))
}
