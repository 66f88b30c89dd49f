//! What one request carries: parts of deliveries of one resource, and the encoded body, which is made once and kept for
//! retries.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::compress::compress;
use super::encode::{shorten, to_protobuf, traces_data};
use super::json::to_json;
use crate::config::{OtlpConfig, Protocol};
use crate::ledger::DropReason;
use crate::sinks::Delivery;

/// What is known of a parcel whose receiver refused something as malformed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// Nothing was refused.
    #[default]
    None,
    /// Half of a refused parcel.
    Half,
    /// The first half of a refused parcel: if it is accepted, the second half holds what is wrong.
    FirstHalf,
    /// Holds something wrong, by inference: sending it whole would waste a request.
    Certain,
}

/// Why there is no body to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Over the limit for requests.
    TooLarge,
    /// One span, and it stays too large however much its texts are shortened.
    Hopeless,
    /// It cannot be encoded.
    Broken(String),
}

/// The spans of one request.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    deliveries: Vec<Delivery>,
    spans: usize,
    bytes: usize,
    body: Option<Bytes>,
    /// Bytes of the protobuf form, as sent last.
    encoded: usize,
    shorten_to: Option<usize>,
    pub(super) suspicion: Suspicion,
    /// Times the receiver said yes and no more.
    pub(super) unclear: u32,
}

impl Parcel {
    /// How many spans.
    pub(super) fn spans(&self) -> usize {
        self.spans
    }

    /// About how many bytes on the wire.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of the first spans of `delivery` still fit; at least one when the parcel is empty.
    pub(super) fn fit(&self, delivery: &Delivery, most_spans: usize, most_bytes: usize) -> usize {
        let room = most_bytes.saturating_sub(self.bytes);
        let mut used = 0;
        let fit = delivery
            .spans()
            .take(most_spans.saturating_sub(self.spans))
            .take_while(|span| {
                used += span.approximate_bytes();
                used <= room
            })
            .count();
        if self.spans == 0 { fit.max(1).min(delivery.len()) } else { fit }
    }

    /// Adds a delivery of about `bytes` bytes.
    pub(super) fn push(&mut self, delivery: Delivery, bytes: usize) {
        self.spans += delivery.len();
        self.bytes += bytes;
        self.body = None;
        self.deliveries.push(delivery);
    }

    /// The body of the request, encoded and compressed at the first call.
    pub(super) fn body(&mut self, config: &OtlpConfig) -> Result<Bytes, Unfit> {
        if let Some(body) = &self.body {
            return Ok(body.clone());
        }
        let Some(mut data) = traces_data(&self.deliveries) else {
            return Err(Unfit::Broken("there are no spans in it".to_owned()));
        };
        if let Some(limit) = self.shorten_to
            && !shorten(&mut data, limit)
        {
            return Err(Unfit::Hopeless);
        }
        self.encoded = data.encoded_len();
        let plain = match config.protocol {
            Protocol::HttpJson => to_json(&data),
            Protocol::HttpProtobuf | Protocol::Grpc => to_protobuf(&data),
        };
        drop(data);
        if plain.len() > config.max_request_bytes {
            return Err(Unfit::TooLarge);
        }
        let mut body = compress(plain, config.compression).map_err(|error| Unfit::Broken(error.to_string()))?;
        if config.protocol == Protocol::Grpc {
            body = super::grpc::frame(&body, config.compression).ok_or(Unfit::TooLarge)?;
        }
        self.body = Some(body.clone());
        Ok(body)
    }

    /// The next try of a single span that was too large: half the bytes.
    pub(super) fn shrink(&mut self) {
        self.shorten_to = Some(self.shorten_to.unwrap_or(self.encoded).min(self.encoded) / 2);
        self.body = None;
    }

    /// Cuts the parcel in two of about the same size in bytes. `None`, and the parcel back, when it has one span.
    pub(super) fn halve_by_bytes(self) -> Result<(Self, Self), Self> {
        let half = self.bytes / 2;
        let mut used = 0;
        let at = self
            .deliveries
            .iter()
            .flat_map(Delivery::spans)
            .take_while(|span| {
                used += span.approximate_bytes();
                used <= half
            })
            .count();
        self.split(at)
    }

    /// Cuts the parcel in two of about the same number of spans. `None`, and the parcel back, when it has one span.
    pub(super) fn halve_by_spans(self) -> Result<(Self, Self), Self> {
        let at = self.spans / 2;
        self.split(at)
    }

    fn split(self, at: usize) -> Result<(Self, Self), Self> {
        if self.spans < 2 {
            return Err(self);
        }
        let at = at.clamp(1, self.spans - 1);
        let (mut first, mut second) = (Self::default(), Self::default());
        for mut delivery in self.deliveries {
            let fit = at.saturating_sub(first.spans);
            let rest = delivery.split_off(fit);
            for (part, half) in [(delivery, &mut first), (rest, &mut second)] {
                if !part.is_empty() {
                    let bytes = part.approximate_bytes();
                    half.push(part, bytes);
                }
            }
        }
        Ok((first, second))
    }

    /// The receiver has it, but for `rejected` spans; it does not say which.
    pub(super) fn delivered(self, rejected: usize) {
        let mut left = rejected;
        for delivery in self.deliveries {
            let here = left.min(delivery.len());
            left -= here;
            delivery.delivered_except(here);
        }
    }

    /// The receiver refuses it for good.
    pub(super) fn rejected(self) {
        self.deliveries.into_iter().for_each(Delivery::rejected);
    }

    /// We give it up.
    pub(super) fn dropped(self, reason: DropReason) {
        self.deliveries.into_iter().for_each(|delivery| delivery.dropped(reason));
    }
}

/// A limit for requests whose configuration has none: nothing is waited for without end.
pub(super) const LONGEST_ATTEMPT: Duration = Duration::from_secs(300);
