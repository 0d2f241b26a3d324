//! A goose load test of the same request, as short as goose lets one be: each user sends it again and again and reads every answer to its
//! end, counting its events. Goose counts and times requests itself, to the head of their answers. `ci/bench-peers` runs it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use goose::config::GooseConfiguration;
use goose::prelude::*;
use memchr::memmem;

#[derive(Parser)]
struct Args {
    /// The server
    url: String,
    /// What each request carries
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    #[arg(long, default_value_t = 32)]
    users: usize,
    /// Requests of each user
    #[arg(long)]
    requests: usize,
}

const PATH: &str = "/v1/chat/completions";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let body = std::fs::read(&args.body)
        .with_context(|| format!("reading --body {}", args.body.display()))?;
    let (body, events) = (Bytes::from(body), Arc::new(AtomicU64::new(0)));
    let mut configuration = GooseConfiguration::default();
    configuration.host = args.url;
    configuration.users = Some(args.users);
    configuration.hatch_rate = Some("1000".to_owned());
    configuration.iterations = args.requests;
    configuration.no_print_metrics = true;
    configuration.no_telnet = true;
    configuration.no_websocket = true;
    configuration.quiet = 1;
    let counted = events.clone();
    let send: TransactionFunction = Arc::new(move |user| {
        let (body, events) = (body.clone(), counted.clone());
        Box::pin(async move {
            let request = user
                .get_request_builder(&GooseMethod::Post, PATH)?
                .header("content-type", "application/json")
                .body(body);
            let request = GooseRequest::builder()
                .method(GooseMethod::Post)
                .path(PATH)
                .set_request_builder(request)
                .build();
            let mut response = user.request(request).await?.response?;
            // The end of an event may come in two parts.
            let mut last = None;
            while let Some(part) = response.chunk().await? {
                let in_two = last == Some(b'\n') && part.starts_with(b"\n");
                let found = memmem::find_iter(&part, b"\n\n").count() as u64;
                events.fetch_add(found + u64::from(in_two), Ordering::Relaxed);
                last = part.last().copied();
            }
            Ok(())
        })
    });
    let metrics = GooseAttack::initialize_with_config(configuration)
        .context("starting goose")?
        .register_scenario(scenario!("peers").register_transaction(Transaction::new(send)))
        .execute()
        .await
        .context("goose")?;
    let answers: usize = metrics.requests.values().map(|it| it.success_count).sum();
    println!(
        "{answers} answers, {} events",
        events.load(Ordering::Relaxed)
    );
    Ok(())
}
