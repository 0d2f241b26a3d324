//! An answer of which the head has come, in either version of HTTP: decoded if it is compressed, and with the address of a redirect.

use std::time::{Duration, Instant};

use poolproof_client::Inflate;

use super::answer::{Answered, Reading};
use super::failure::{Failed, Failure};

/// The longest address of a redirect that is shown, in bytes.
const LOCATION_SHOWN_BYTES: usize = 200;

/// An answer that is arriving.
#[derive(Debug)]
pub(super) struct Arrived {
    reading: Reading,
    inflate: Option<Box<Inflate>>,
    location: Option<Box<str>>,
}

impl Arrived {
    /// An answer with this `content-encoding` and this `location`, if it has them.
    pub(super) fn new(
        reading: Reading,
        coding: Option<&[u8]>,
        location: Option<&[u8]>,
    ) -> Result<Self, Failed> {
        let inflate = match coding.map(Inflate::of) {
            None => None,
            Some(Ok(inflate)) => inflate.map(Box::new),
            Some(Err(coding)) => {
                let why = format!("its content-encoding is {coding}, which was not asked for");
                return Err(Failed::new(Failure::Encoded, why));
            }
        };
        let location = location.map(|it| &it[..it.len().min(LOCATION_SHOWN_BYTES)]);
        Ok(Self {
            reading,
            inflate,
            location: location.map(|it| String::from_utf8_lossy(it).into()),
        })
    }

    /// Takes bytes of its body, as [`Reading::data`] does.
    #[inline]
    pub(super) fn data(
        &mut self,
        bytes: &[u8],
        at: Instant,
        mut gap: impl FnMut(Duration),
    ) -> Result<(), Failed> {
        let Some(inflate) = &mut self.inflate else {
            return self.reading.data(bytes, at, gap);
        };
        let reading = &mut self.reading;
        let fed = inflate.feed(bytes, |decoded| reading.data(decoded, at, &mut gap));
        fed.unwrap_or_else(|error| {
            let why = format!("its body is not of its content-encoding: {error}");
            Err(Failed::new(Failure::Encoded, why))
        })
    }

    /// Judges an answer that has come to its end.
    pub(super) fn end(self) -> Result<Answered, Failed> {
        if let Some(Err(error)) = self.inflate.map(|inflate| inflate.end()) {
            let why = format!("its compressed body is not whole: {error}");
            return Err(Failed::new(Failure::Encoded, why));
        }
        self.reading.end().map_err(|failed| match self.location {
            Some(location) => Failed {
                detail: format!("location: {location} {}", failed.detail),
                ..failed
            },
            None => failed,
        })
    }
}
