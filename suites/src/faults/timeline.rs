//! What became of each request around a fault, over time: when it ended, how long it took, and how.

use std::time::Instant;

use poolproof_client::evidence::served;
use poolproof_client::{Ending, Exchange};
use poolproof_model::picture::Picture;

/// Requests from before a fault to behind it.
pub(crate) struct Timeline {
    begun: Instant,
    /// The name of what goes, and whether that is an endpoint.
    part: String,
    is_endpoint: bool,
    /// When it was gone, and when its return was requested.
    gone: Option<Instant>,
    back: Option<Instant>,
    /// In the order of [`How`]: when it ended, in seconds, and how long it took, in milliseconds.
    groups: [Vec<(f64, f64)>; 4],
}

/// What became of a request.
#[derive(Clone, Copy)]
enum How {
    Served,
    /// By the endpoint that goes; where no endpoint goes, of a model that the fault is not about.
    ServedApart,
    Refused,
    Lost,
}

impl Timeline {
    /// A timeline that begins now, of the endpoint picker of a pool, which will go.
    pub(crate) fn of_picker(pool: &str) -> Self {
        Self::new(format!("the picker of {pool}"), false)
    }

    /// A timeline that begins now, of a pool whose endpoints will go.
    pub(crate) fn of_pool(name: &str) -> Self {
        Self::new(format!("the endpoints of {name}"), false)
    }

    /// A timeline that begins now, of an endpoint, which will go.
    pub(crate) fn of_endpoint(name: &str) -> Self {
        Self::new(name.to_owned(), true)
    }

    fn new(part: String, is_endpoint: bool) -> Self {
        Self {
            begun: Instant::now(),
            part,
            is_endpoint,
            gone: None,
            back: None,
            groups: Default::default(),
        }
    }

    /// The part is gone now.
    pub(crate) fn gone(&mut self) {
        self.gone = Some(Instant::now());
    }

    /// Restores the part now.
    pub(crate) fn back(&mut self) {
        self.back = Some(Instant::now());
    }

    /// Adds requests of the model that the fault is about.
    pub(crate) fn add(&mut self, exchanges: &[Exchange]) {
        for exchange in exchanges {
            let how = match how(exchange) {
                How::Served if self.is_own(exchange) => How::ServedApart,
                how => how,
            };
            self.put(exchange, how);
        }
    }

    /// Adds requests of another model.
    pub(crate) fn add_other(&mut self, exchanges: &[Exchange]) {
        for exchange in exchanges {
            let how = match how(exchange) {
                How::Served => How::ServedApart,
                how => how,
            };
            self.put(exchange, how);
        }
    }

    fn is_own(&self, exchange: &Exchange) -> bool {
        self.is_endpoint && served::endpoint_of(exchange) == Some(&self.part)
    }

    fn put(&mut self, exchange: &Exchange, how: How) {
        let at = exchange.ended_at.saturating_duration_since(self.begun);
        let took_ms = exchange.latency().as_secs_f64() * 1000.0;
        self.groups[how as usize].push((at.as_secs_f64(), took_ms));
    }

    /// The picture: a dot for each request, and a band from when the part was gone until its return was requested.
    pub(crate) fn picture(&self) -> Picture {
        let since = |at: Instant| at.saturating_duration_since(self.begun).as_secs_f64();
        let span = self.gone.map(|gone| {
            let until = self.back.unwrap_or_else(Instant::now);
            ("gone".to_owned(), since(gone), since(until))
        });
        let names = [
            "served",
            match self.is_endpoint {
                true => "served by it",
                false => "served, another model",
            },
            "refused",
            "lost or broken off",
        ];
        let names = names.map(str::to_owned).into_iter();
        Picture::dots(
            format!("requests while {} goes and comes back", self.part),
            ("seconds, at the end of a request", "ms that it took"),
            names.zip(self.groups.iter().cloned()).collect(),
            span.into_iter().collect(),
        )
    }
}

fn how(exchange: &Exchange) -> How {
    let answered = exchange.ending == Ending::Complete && exchange.status != Some(200);
    match exchange.is_success() {
        true => How::Served,
        false if answered => How::Refused,
        false => How::Lost,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_model::picture::Drawing;

    use super::*;
    use crate::made::exchange;

    #[test]
    fn requests_are_told_apart_by_how_they_ended_and_by_whom_they_were_served() {
        let mut timeline = Timeline::of_endpoint("b");
        let requests = [
            exchange("a", Some(200), Ending::Complete),
            exchange("b", Some(200), Ending::Complete),
            exchange("a", Some(503), Ending::Complete),
            exchange("b", Some(200), Ending::Cut("reset".to_owned())),
            exchange("b", None, Ending::TimedOut),
        ];
        timeline.add(&requests);
        timeline.gone();
        timeline.back();
        let picture = timeline.picture();
        let Drawing::Dots { groups, spans, .. } = &picture.drawing else {
            unreachable!("a timeline has dots")
        };
        let counts: Vec<usize> = groups.iter().map(|(_, dots)| dots.len()).collect();
        assert_eq!(counts, [1, 1, 1, 2]);
        assert_eq!(groups[0].1[0].1, 250.0);
        assert!(spans[0].1 <= spans[0].2, "{spans:?}");
    }

    #[test]
    fn where_a_picker_goes_another_model_is_told_apart() {
        let mut timeline = Timeline::of_picker("p");
        timeline.add(&[exchange("b", Some(200), Ending::Complete)]);
        timeline.add_other(&[exchange("c", Some(200), Ending::Complete)]);
        timeline.add_other(&[exchange("c", Some(500), Ending::Complete)]);
        let Drawing::Dots { groups, spans, .. } = timeline.picture().drawing else {
            unreachable!("a timeline has dots")
        };
        let counts: Vec<usize> = groups.iter().map(|(_, dots)| dots.len()).collect();
        assert_eq!(counts, [1, 1, 1, 0]);
        // It never went.
        assert!(spans.is_empty());
    }
}
