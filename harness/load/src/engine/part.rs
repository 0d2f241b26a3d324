//! The part of a run that one process sends, where several processes send one run.

use serde::{Deserialize, Serialize};

use super::Job;
use crate::schedule::{Due, Schedule};

/// Which requests of a run a process sends, and the mark of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The place of the process, from 0.
    pub index: u64,
    /// How many processes there are.
    pub count: u64,
    /// Marks the requests of this run among those of others; all processes have the same.
    pub run: u32,
}

impl Part {
    /// The whole of a run.
    pub fn whole() -> Self {
        Self {
            index: 0,
            count: 1,
            run: rand::random(),
        }
    }

    /// Whether this number, of a request or a user, belongs to a thread of this process, which has `threads`. Numbers go round the
    /// processes first and then round the threads of each, so that processes may have different numbers of threads.
    pub fn is_for(&self, number: u64, thread: usize, threads: usize) -> bool {
        number % self.count == self.index && (number / self.count) % threads as u64 == thread as u64
    }

    /// How many of all users belong to the process.
    pub fn users(&self, users: usize) -> usize {
        let (each, rest) = (users as u64 / self.count, users as u64 % self.count);
        (each + u64::from(self.index < rest)) as usize
    }
}

impl Job {
    /// The numbers below `all`, of requests or of users, that belong to a thread.
    pub(super) fn own(&self, all: usize, thread: usize) -> impl Iterator<Item = usize> {
        (0..all).filter(move |it| self.part.is_for(*it as u64, thread, self.threads))
    }

    /// The requests of a thread, in order.
    pub(super) fn share_of(&self, thread: usize) -> impl Iterator<Item = Due> {
        let trace = self.requests.trace();
        let schedule = Schedule::new(&self.workload.arrival, trace, self.seed, self.end_s);
        schedule.filter(move |due| self.part.is_for(due.number, thread, self.threads))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::Sender;
    use poolproof_model::target::Target;
    use poolproof_model::topology::Topology;
    use poolproof_model::workload::Workload;

    /// All that the threads of a process send: the number of a request, when it is due, and its bytes.
    async fn sent(part: Part, threads: usize) -> Vec<(u64, u64, Vec<u8>)> {
        let text = "shows = 'x'\nduration_s = 3\narrival = { process = 'poisson', rate_per_s = 100 }\n\
             [[mix]]\nclass = 'a'\nshare = 2\ninput_tokens = 20\noutput_tokens = 3\n\
             [[mix]]\nclass = 'b'\nstream = false\ninput_tokens = 9\noutput_tokens = 4\n";
        let workload: Workload = toml::from_str(text).unwrap();
        let target = Target::planned(&Topology::default()).unwrap();
        let sender = Sender {
            urls: std::slice::from_ref(&target.url),
            sources: &[],
            vocabulary: None,
            threads,
            seed: 7,
            part,
        };
        let job = Job::new(workload, None, &target, sender).await.unwrap();
        let mut all = Vec::new();
        for thread in 0..threads {
            for due in job.share_of(thread) {
                let mut wire = Vec::new();
                job.requests.build(due, &mut wire);
                all.push((due.number, due.at_ns, wire));
            }
        }
        all
    }

    #[tokio::test]
    async fn several_processes_send_exactly_what_one_would_send() {
        let part = |index, count| Part {
            index,
            count,
            run: 0xabc,
        };
        let mut one = sent(part(0, 1), 2).await;
        one.sort();
        assert!(one.len() > 200, "{}", one.len());
        let mut many = Vec::new();
        for (index, threads) in [1, 3, 2].into_iter().enumerate() {
            let own = sent(part(index as u64, 3), threads).await;
            assert!(own.len().abs_diff(one.len() / 3) <= 1);
            many.extend(own);
        }
        many.sort();
        // No two have one number, and none is missing.
        assert_eq!(many, one);

        let other_run = sent(
            Part {
                run: 0xabd,
                ..part(0, 1)
            },
            2,
        )
        .await;
        assert!(other_run.iter().all(|it| !one.contains(it)));
    }

    #[test]
    fn every_user_is_at_one_thread_of_one_process() {
        for user in 0..100 {
            let mut places = 0;
            for (index, threads) in [2, 5, 1].into_iter().enumerate() {
                let part = Part {
                    index: index as u64,
                    count: 3,
                    run: 0,
                };
                let at = (0..threads).filter(|it| part.is_for(user, *it, threads));
                places += at.count();
            }
            assert_eq!(places, 1, "{user}");
        }
        let users = |index| {
            let part = Part {
                index,
                count: 3,
                run: 0,
            };
            part.users(10)
        };
        assert_eq!((0..3).map(users).collect::<Vec<_>>(), [4, 3, 3]);
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use poolproof_model::workload::{Arrival, Stage};
    use poolproof_property::config;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn arrival() -> impl Strategy<Value = Arrival> {
        let rate = 1.0..200.0;
        prop_oneof![
            rate.clone()
                .prop_map(|rate_per_s| Arrival::Constant { rate_per_s }),
            rate.clone()
                .prop_map(|rate_per_s| Arrival::Poisson { rate_per_s }),
            (rate.clone(), 0.1..10.0).prop_map(|(rate_per_s, burstiness)| Arrival::Gamma {
                rate_per_s,
                burstiness
            }),
            (rate.clone(), rate.clone()).prop_map(|(from_per_s, to_per_s)| Arrival::Ramp {
                from_per_s,
                to_per_s
            }),
            vec((rate, 0.1..2.0), 1..4).prop_map(|stages| Arrival::Stages {
                stages: stages
                    .into_iter()
                    .map(|(rate_per_s, duration_s)| Stage {
                        rate_per_s,
                        duration_s
                    })
                    .collect()
            }),
        ]
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn each_request_is_sent_by_one_thread_of_one_process(
            arrival in arrival(),
            seed in any::<u64>(),
            end_s in 0.1..3.0,
            threads_of_processes in vec(1_usize..6, 1..6),
        ) {
            let schedule = || Schedule::new(&arrival, None, seed, end_s);
            let count = threads_of_processes.len() as u64;
            let mut sent = Vec::new();
            for (index, threads) in (0..).zip(&threads_of_processes) {
                let part = Part { index, count, run: 0 };
                for thread in 0..*threads {
                    let own = schedule().filter(|due| part.is_for(due.number, thread, *threads));
                    sent.extend(own);
                }
            }
            sent.sort_by_key(|due| due.number);
            prop_assert_eq!(sent, Vec::from_iter(schedule()));
        }

        #[test]
        fn the_users_of_all_processes_are_all_users(users in any::<usize>(), few in 0_usize..500, count in 1_u64..9) {
            let parts = (0..count).map(|index| Part { index, count, run: 0 });
            for part in parts.clone() {
                let own = (0..few as u64).filter(|user| part.is_for(*user, 0, 1));
                prop_assert_eq!(part.users(few), own.count());
            }
            prop_assert_eq!(parts.map(|part| part.users(users)).sum::<usize>(), users);
        }
    }
}
