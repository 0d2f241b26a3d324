//! Users who hold sessions: goose users, of whom each worker has its share.
//!
//! A goose user is a task that may go from thread to thread, and what a worker sends and measures with may not. So a goose user keeps
//! its conversation, thinks, and hands each turn to the worker of its thread, which sends it like every other request and hands it back
//! with the answer. One `GooseAttack` runs on the thread of each worker; of its own client, metrics, reports and logs nothing is used.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use goose::config::GooseConfiguration;
use goose::prelude::*;
use tokio::sync::{mpsc, oneshot, watch};

use super::Job;
use super::worker::Worker;
use crate::load::arrival::Due;
use crate::load::requests::Conversation;

/// The goose users of a worker.
pub(super) struct Crowd {
    attack: Pin<Box<dyn Future<Output = Result<GooseMetrics, GooseError>>>>,
    heard: mpsc::UnboundedReceiver<Said>,
    begin: watch::Sender<Option<Instant>>,
    /// Those that have not gone.
    users: usize,
    /// Turns that are told apart.
    stages: usize,
}

/// What a user says to its worker.
enum Said {
    /// It is there, and waits for the start.
    Here,
    /// Its next turn.
    Turn(Box<Turn>),
    /// Its time is over.
    Gone,
}

/// A turn that leaves.
struct Turn {
    number: u64,
    moment: Instant,
    /// How much longer its user thought than it was to: until its thread looked at it.
    late: Duration,
    conversation: Conversation,
    /// Hears of the conversation with its answer, if there is one and the conversation is not over.
    goes_on: oneshot::Sender<Option<Conversation>>,
}

/// What the users of a worker share.
struct Shared {
    job: Arc<Job>,
    /// The places of its users among those of all workers.
    own: Vec<u64>,
    /// The users of all workers.
    all: u64,
    say: mpsc::UnboundedSender<Said>,
    begin: watch::Receiver<Option<Instant>>,
}

/// What a user remembers.
struct Memory {
    /// Its place among the users of all workers.
    user: u64,
    ends_at: Instant,
    /// Sessions and turns that it has begun.
    sessions: u64,
    turns: u64,
    conversation: Option<Conversation>,
}

impl Crowd {
    /// Brings the users of a worker, `None` if it has none; returns when all of them wait for the start, since making them takes a while.
    pub(super) async fn gather(job: &Arc<Job>, index: usize) -> Result<Option<Self>> {
        let all = job.workload.arrival.users().unwrap_or(0);
        let own: Vec<u64> = job.own(all, index).map(|user| user as u64).collect();
        let users = own.len();
        if users == 0 || !job.workload.arrival.holds_sessions() {
            return Ok(None);
        }
        let (say, heard) = mpsc::unbounded_channel();
        let (begin, told_to_begin) = watch::channel(None);
        let shared = Arc::new(Shared {
            job: job.clone(),
            own,
            all: all as u64,
            say,
            begin: told_to_begin,
        });
        let attack = GooseAttack::initialize_with_config(configuration(job, users))
            .context("starting goose")?
            .register_scenario(
                scenario!("sessions")
                    .register_transaction(arrive(&shared))
                    .register_transaction(turn(&shared)),
            );
        let mut crowd = Self {
            attack: Box::pin(attack.execute()),
            heard,
            begin,
            users,
            stages: job.workload.arrival.stage_count(),
        };
        for _ in 0..users {
            crowd.hear().await?;
        }
        Ok(Some(crowd))
    }

    /// Lets the users hold their sessions from `start` on; returns when all of them have gone.
    pub(super) async fn converse(mut self, worker: &Rc<Worker>, start: Instant) -> Result<()> {
        self.begin.send_replace(Some(start));
        let stages = self.stages;
        while self.users > 0 {
            match self.hear().await? {
                Said::Here => {}
                Said::Turn(turn) => {
                    tokio::task::spawn_local(turn.send(worker.clone(), start, stages));
                }
                Said::Gone => self.users -= 1,
            }
        }
        // Goose looks twice a second whether its users have gone. Nothing is left to wait for.
        Ok(())
    }

    async fn hear(&mut self) -> Result<Said> {
        tokio::select! {
            said = self.heard.recv() => said.context("the users of goose are gone"),
            ended = &mut self.attack => Err(match ended {
                Ok(_) => anyhow!("goose ended before its users had gone"),
                Err(error) => anyhow!(error).context("goose"),
            }),
        }
    }
}

/// Goose with nothing but its users: it writes no report and no log, counts nothing, opens no port.
fn configuration(job: &Job, users: usize) -> GooseConfiguration {
    // All at once, as far as goose goes: when they begin is not for it to say.
    const HATCHED_PER_S: &str = "1000000000";
    let mut configuration = GooseConfiguration::default();
    configuration.host = job.servers[0].authority().to_owned();
    configuration.users = Some(users);
    configuration.hatch_rate = Some(HATCHED_PER_S.to_owned());
    configuration.quiet = 1;
    configuration.no_metrics = true;
    configuration.no_telnet = true;
    configuration.no_websocket = true;
    configuration
}

/// What a user does first: it waits for the start.
fn arrive(shared: &Arc<Shared>) -> Transaction {
    let shared = shared.clone();
    let run: TransactionFunction = Arc::new(move |user| {
        let shared = shared.clone();
        Box::pin(async move {
            shared.arrive(user).await;
            Ok(())
        })
    });
    Transaction::new(run).set_on_start()
}

/// What a user does again and again: one turn.
fn turn(shared: &Arc<Shared>) -> Transaction {
    let shared = shared.clone();
    let run: TransactionFunction = Arc::new(move |user| {
        let shared = shared.clone();
        Box::pin(async move {
            if !shared.turn(user).await {
                // Goose lets a user go that has been through its transactions so many times.
                user.config.iterations = 1;
                shared.tell(Said::Gone);
            }
            Ok(())
        })
    });
    Transaction::new(run)
}

impl Shared {
    async fn arrive(&self, user: &mut GooseUser) {
        self.tell(Said::Here);
        let mut begin = self.begin.clone();
        // The run was given up if there is no start.
        let Ok(Some(start)) = begin.wait_for(Option::is_some).await.map(|it| *it) else {
            return;
        };
        tokio::time::sleep_until(start.into()).await;
        user.set_session_data(Memory {
            user: self.own[user.weighted_users_index],
            ends_at: start + Duration::from_secs_f64(self.job.end_s),
            sessions: 0,
            turns: 0,
            conversation: None,
        });
    }

    /// Thinks, and sends a turn: whether the user is to go on.
    async fn turn(&self, user: &mut GooseUser) -> bool {
        let Some(memory) = user.get_session_data_mut::<Memory>() else {
            return false;
        };
        let mut conversation = match memory.conversation.take() {
            Some(conversation) => conversation,
            None => {
                memory.sessions += 1;
                self.job.requests.converse(memory.user, memory.sessions)
            }
        };
        let due_at = Instant::now() + conversation.think();
        if due_at >= memory.ends_at {
            return false;
        }
        tokio::time::sleep_until(due_at.into()).await;
        self.job.requests.begin_turn(&mut conversation);
        let (goes_on, answered) = oneshot::channel();
        let moment = Instant::now();
        self.tell(Said::Turn(Box::new(Turn {
            number: memory.user + memory.turns * self.all,
            moment,
            late: moment - due_at,
            conversation,
            goes_on,
        })));
        memory.turns += 1;
        let Ok(conversation) = answered.await else {
            return false;
        };
        memory.conversation = conversation;
        true
    }

    fn tell(&self, said: Said) {
        // Nobody hears it if the run has been given up.
        let _ = self.say.send(said);
    }
}

impl Turn {
    /// Sends it, and says how the conversation goes on.
    async fn send(self: Box<Self>, worker: Rc<Worker>, start: Instant, stages: usize) {
        let Self {
            number,
            moment,
            late,
            mut conversation,
            goes_on,
        } = *self;
        let due = Due {
            number,
            at_ns: (moment - start).as_nanos() as u64,
            stage: conversation.turn().min(stages - 1),
        };
        worker.leaves(due, late);
        let text = worker.perform(due, moment, Some(&conversation)).await;
        let answered = text.filter(|_| !conversation.is_over()).map(|text| {
            conversation.answered(&text);
            conversation
        });
        // Its user is gone if the run has been given up.
        let _ = goes_on.send(answered);
    }
}
