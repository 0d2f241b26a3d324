//! Streams beside what the endpoints themselves answer to the same requests.

use anyhow::Result;
use poolproof_cases::context::Context;
use poolproof_client::answer::Remark;
use poolproof_client::{Connections, Exchange, Request, drive};
use poolproof_model::target::Model;

use super::stream_intact::IN_FLIGHT;
use super::stream_text::{Answer, DAMAGE_ANYWHERE, read};

/// What endpoints answer when asked past the gateway.
pub(super) struct Own {
    /// To each request, where they always answer the same; `None` where they cannot be asked, or any answer differs from its
    /// twins: then only the structure of streams is judged.
    pub(super) answers: Option<Vec<Answer>>,
    /// Whether any answer differs from its twins.
    vary: bool,
    /// Whether they say why an answer has ended, as they should: llm-d-inference-sim v0.8.2 does not where it was cut by length.
    pub(super) give_reasons: bool,
    /// The number of tokens that all of their answers report, if they agree on one.
    tokens: Option<u64>,
    /// The deviations from the API that they have themselves; `None` if none was asked.
    deviations: Option<Vec<Remark>>,
    /// Answers that were compared with another one to the same request.
    pub(super) compared: usize,
}

impl Own {
    /// By the answers to each request. All requests stand for one another: where one answer varies, none is taken to be fixed.
    fn new(twins: &[Vec<Exchange>]) -> Self {
        let twins: Vec<Vec<Answer>> = twins
            .iter()
            .map(|twins| twins.iter().filter_map(|it| read(it).ok()).collect())
            .collect();
        let mut all = twins.iter().flatten();
        let give_reasons = all.clone().all(|answer| !answer.finish_reason.is_empty());
        let tokens = all
            .clone()
            .next()
            .and_then(|answer| answer.completion_tokens);
        let tokens = tokens.filter(|tokens| all.all(|it| it.completion_tokens == Some(*tokens)));
        let asked = twins.iter().flatten().next().is_some();
        let deviations = twins.iter().flatten().flat_map(|it| it.deviations.clone());
        let deviations = asked.then(|| deviations.collect());
        let mut pairs = twins.iter().flat_map(|twins| twins.windows(2));
        let vary = pairs.any(|pair| pair[0] != pair[1]);
        let compared = twins.iter().map(|it| it.len().saturating_sub(1)).sum();
        let is_known = !vary && twins.iter().all(|twins| twins.len() >= 2);
        let first = twins
            .into_iter()
            .filter_map(|twins| twins.into_iter().next());
        Self {
            answers: is_known.then(|| first.collect()),
            vary,
            give_reasons,
            tokens,
            deviations,
            compared,
        }
    }

    /// Asks for more twins, and gives up comparing if one of them varies.
    pub(super) async fn ask_again(
        &mut self,
        ctx: &Context,
        model: &Model,
        requests: &[Request],
        twins: usize,
    ) -> Result<()> {
        let again = own_answers(ctx, model, requests, twins).await?;
        self.compared += again.compared;
        let differ = again.answers.is_some() && again.answers != self.answers;
        if again.vary || differ {
            self.vary = true;
            self.answers = None;
        }
        Ok(())
    }

    pub(super) fn in_words(&self) -> String {
        if self.answers.is_some() {
            format!(
                "{} answers of the endpoints' own are the same as their twins: texts are compared with them",
                self.compared
            )
        } else if self.vary {
            "the endpoints' own answers to one request vary: only the structure of streams is judged".to_owned()
        } else {
            "no answers of the endpoints' own to compare with: only the structure of streams is judged".to_owned()
        }
    }
}

/// Asks endpoints in turn, past the gateway, each request several times. Of a model with several pools none is asked: they may
/// answer differently.
pub(super) async fn own_answers(
    ctx: &Context,
    model: &Model,
    requests: &[Request],
    twins: usize,
) -> Result<Own> {
    let mut pools = model.weighted_pools();
    let mut answers: Vec<Vec<Exchange>> = requests.iter().map(|_| Vec::new()).collect();
    if let (Some(pool), None) = (pools.next(), pools.next()) {
        let urls = pool.endpoints.iter().filter_map(|it| it.url.as_ref());
        let clients: Vec<_> = urls
            .map(|url| ctx.client_of(url, Connections::KeepAlive))
            .collect::<Result<_>>()?;
        for client in clients.iter().cycle().take(twins) {
            if ctx.is_late() {
                break;
            }
            let sent = drive::closed_loop(client, IN_FLIGHT, requests.iter().cloned()).await;
            for (twins, exchange) in answers.iter_mut().zip(sent) {
                twins.push(exchange);
            }
        }
    }
    Ok(Own::new(&answers))
}

/// What is thought of a stream.
#[derive(Debug, PartialEq)]
pub(super) enum Judged {
    Whole,
    /// It is damaged, and how.
    Damaged(String),
    /// It is whole by itself, but has another text than the endpoint's own.
    Another(String),
}

pub(super) fn judge(exchange: &Exchange, own: &Own, request: usize) -> Judged {
    let answer = match read(exchange) {
        Ok(answer) => answer,
        Err(damage) => return Judged::Damaged(damage),
    };
    if answer.finish_reason.is_empty() && own.give_reasons {
        return Judged::Damaged("no finish_reason".to_owned());
    }
    if own.tokens.is_some() && answer.completion_tokens != own.tokens {
        return Judged::Damaged(format!(
            "{:?} tokens in its usage, the endpoints' own have {:?}",
            answer.completion_tokens, own.tokens
        ));
    }
    let of_its_own = answer.deviations.iter().find(|it| match &own.deviations {
        Some(own) => !own.contains(it),
        None => DAMAGE_ANYWHERE.contains(it),
    });
    if let Some(remark) = of_its_own {
        return Judged::Damaged(format!(
            "{}{}",
            remark.in_words(),
            match own.deviations {
                Some(_) => ", which the endpoints' own answers do not have",
                None => "",
            }
        ));
    }
    let Some(answers) = &own.answers else {
        return Judged::Whole;
    };
    let own = &answers[request];
    if answer.text != own.text {
        let (before, after) = in_common(&answer.text, &own.text);
        let difference = format!(
            "{} bytes of text, of which the first {before} and the last {after} are those of the endpoint's own {}",
            answer.text.len(),
            own.text.len()
        );
        let of_another = answers.iter().any(|it| it.text == answer.text);
        return match of_another || is_copy(before, after, own.text.len()) {
            true => Judged::Damaged(difference),
            false => Judged::Another(difference),
        };
    }
    match answer == *own {
        true => Judged::Whole,
        false => Judged::Damaged(format!(
            "ends by {} after {:?} tokens, the endpoint's own by {} after {:?}",
            answer.finish_reason,
            answer.completion_tokens,
            own.finish_reason,
            own.completion_tokens
        )),
    }
}

/// The bytes that two texts have in common at their starts, and behind them at their ends.
fn in_common(one: &str, other: &str) -> (usize, usize) {
    let same = |(one, other): &(u8, u8)| one == other;
    let before = one.bytes().zip(other.bytes()).take_while(same).count();
    let (one, other) = (&one.as_bytes()[before..], &other.as_bytes()[before..]);
    let ends = one.iter().rev().copied().zip(other.iter().rev().copied());
    (before, ends.take_while(same).count())
}

/// Whether a text of which so much is the same is a copy with a few frames lost, repeated, swapped or altered. An answer that varies goes its own
/// way from the first difference on, and does not come back to the same end.
fn is_copy(before: usize, after: usize, own: usize) -> bool {
    const END_MIN: usize = 8;
    after >= END_MIN.max(own / 4) && before + after >= own * 3 / 4
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 32 pieces of text that differ by `seed`, and then of its own.
    fn pieces(seed: usize) -> Vec<String> {
        (0..32)
            .map(|n| format!("{:02} ", (n * 7 + seed * 13) % 97))
            .collect()
    }

    fn stream(pieces: &[String]) -> Exchange {
        let text = pieces
            .iter()
            .map(|text| json!({"choices": [{"text": text}]}).to_string());
        let end = json!({"choices": [{"text": "", "finish_reason": "length"}],
            "usage": {"completion_tokens": 32}});
        crate::made::stream(text.chain([end.to_string(), "[DONE]".to_owned()]))
    }

    fn twins(seeds: [[usize; 2]; 2]) -> Own {
        let twins = seeds.map(|seeds| seeds.map(|seed| stream(&pieces(seed))).to_vec());
        Own::new(&twins)
    }

    #[test]
    fn answers_that_are_equal_by_chance_prove_nothing_where_another_varies() {
        let own = twins([[1, 1], [2, 3]]);
        assert!(own.answers.is_none() && own.vary);
        assert_eq!(judge(&stream(&pieces(5)), &own, 0), Judged::Whole);
    }

    #[test]
    fn a_single_answer_proves_nothing() {
        let own = Own::new(&[vec![stream(&pieces(1))], vec![stream(&pieces(2))]]);
        assert!(own.answers.is_none() && !own.vary);
    }

    #[test]
    fn frames_lost_swapped_repeated_altered_or_of_another_request_are_damage() {
        let own = twins([[1, 1], [2, 2]]);
        let (mut swapped, mut lost, mut altered) = (pieces(1), pieces(1), pieces(1));
        swapped.swap(2, 3);
        lost.remove(10);
        altered[5] = "?? ".to_owned();
        for damaged in [swapped, lost, altered, pieces(2)] {
            let judged = judge(&stream(&damaged), &own, 0);
            assert!(matches!(judged, Judged::Damaged(_)), "{judged:?}");
        }
        assert_eq!(judge(&stream(&pieces(1)), &own, 0), Judged::Whole);
    }

    #[test]
    fn a_deviation_is_damage_unless_the_endpoints_have_it_themselves() {
        let without_end = |mut stream: Exchange| {
            stream.frames.pop();
            stream
        };
        let twice = |mut stream: Exchange| {
            stream.frames.extend(stream.frames.last().cloned());
            stream
        };
        let known = twins([[1, 1], [2, 2]]);
        let unknown = Own::new(&[Vec::new(), Vec::new()]);
        let lost = without_end(stream(&pieces(1)));
        let doubled = twice(stream(&pieces(1)));
        for (own, stream, whole) in [
            (&known, &lost, false),
            (&unknown, &lost, false),
            (&known, &doubled, false),
            (&unknown, &doubled, true),
        ] {
            let judged = judge(stream, own, 0);
            assert_eq!(judged == Judged::Whole, whole, "{judged:?}");
        }
        let own = [1, 2].map(|seed| vec![without_end(stream(&pieces(seed))); 2]);
        assert_eq!(judge(&lost, &Own::new(&own), 0), Judged::Whole);
    }

    #[test]
    fn an_answer_that_goes_its_own_way_is_another_one() {
        let own = twins([[1, 1], [2, 2]]);
        let mut other = pieces(1);
        other.truncate(20);
        other.extend(pieces(9).into_iter().take(12));
        let judged = judge(&stream(&other), &own, 0);
        assert!(matches!(judged, Judged::Another(_)), "{judged:?}");
    }

    #[test]
    fn fewer_tokens_than_the_endpoints_own_are_damage_whatever_the_text() {
        let own = twins([[1, 1], [2, 3]]);
        let end =
            json!({"choices": [{"finish_reason": "length"}], "usage": {"completion_tokens": 31}});
        let cut = crate::made::stream([end.to_string(), "[DONE]".to_owned()]);
        assert!(matches!(judge(&cut, &own, 0), Judged::Damaged(_)));
    }
}
