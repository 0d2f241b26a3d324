//! The framework of the suites: what a case is, how a run selects, plans and executes cases, and the self-test.
//!
//! A [`Case`](case::Case) is a constant: a requirement, how much it binds, what the target must offer, what it will send, and an async
//! function that returns an outcome. Everything a case may use comes from its [`Context`](context::Context): clients, evidence, random
//! numbers, changes of the stack (undone in reverse order), ballast. A case whose needs are not met is skipped, with the reason.
//!
//! The self-test proves that cases can fail: it starts a stack with one deliberate flaw, and requires that the named cases fail and that all
//! others pass.
//!
//! This crate must not know clap, and knows no single case.
//!
//! Start with [`case`], [`context`] and [`run`]. [`budget`] divides the run's alpha between cases, [`effort`] is what a case plans to send,
//! and [`ballast`] keeps chosen endpoints busy.
//!
//! ```
//! use poolproof_cases::case::{Case, Level, Suite};
//! use poolproof_cases::context::Context;
//! use poolproof_cases::effort::Effort;
//! use poolproof_cases::expect;
//! use poolproof_cases::select::select;
//! use poolproof_client::{Api, Connections, Request};
//! use poolproof_model::verdict::{Findings, Outcome};
//!
//! const ANSWERS: Case = Case {
//!     id: "smoke/answers",
//!     requirement: "A request for a served model is answered with 200.",
//!     level: Level::Must,
//!     source: "OpenAI API, chat completions",
//!     needs: &[],
//!     alpha_parts: 0,
//!     plan: |_, _| Ok(Effort::requests(1)),
//!     run: |ctx| Box::pin(answers(ctx)),
//! };
//!
//! async fn answers(ctx: &Context) -> anyhow::Result<Outcome> {
//!     let client = ctx.client(Connections::KeepAlive)?;
//!     let model = &ctx.target.models[0].name;
//!     let request = Request::new(Api::Chat, model, 4, &mut ctx.rng("prompts"));
//!     let exchange = client.send(request).await;
//!     let mut findings = Findings::default();
//!     findings.add(expect::that(exchange.is_success(), "status", 200, exchange.status));
//!     Ok(findings.outcome("a request was answered"))
//! }
//!
//! const SMOKE: Suite = Suite {
//!     id: "smoke",
//!     promise: "The gateway answers.",
//!     cases: &[ANSWERS],
//!     catches: &[],
//! };
//!
//! # fn main() -> anyhow::Result<()> {
//! let selected = select(&[SMOKE], &["smoke".to_owned()], false)?;
//! assert_eq!(selected[0].id, "smoke/answers");
//! # Ok(())
//! # }
//! ```

pub mod ballast;
pub mod budget;
pub mod case;
pub mod context;
pub mod effort;
pub mod expect;
pub mod inside;
pub mod need;
mod placed;
pub mod plan;
pub mod round_trip;
pub mod run;
pub mod select;
pub mod selftest;
pub mod wanted;
