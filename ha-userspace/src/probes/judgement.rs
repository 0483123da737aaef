//! How a check ended: from what we did ourselves and what the data plane read. Pure.

use super::readings::Reading;
use holdfast_engine::{Check, CheckSettings, Instant};
use serde::Serialize;

/// Why a check that was not answered counts against nobody at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoidCause {
    /// The request left late.
    SentLate,
    /// The request did not leave.
    NotSent,
    /// This thread was not there when the check ended.
    Gap,
    /// The request named an incarnation that the peer has left behind; it answered with a challenge.
    Challenged,
    /// The maps could not be read.
    Unreadable,
}

/// A check under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenCheck {
    pub(super) sequence: u64,
    pub(super) sent_at: Instant,
    /// What was wrong with it from its start.
    pub(super) fault: Option<VoidCause>,
    /// The peer's incarnation that the request named.
    pub(super) named: u64,
    /// Frames that had come in on its interface when it began.
    pub(super) frames_in: Option<u64>,
}

/// What is known when a check ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) reading: Option<Reading>,
    /// Sequence of the last request on this path, which may be later than the check's.
    pub(super) last_sequence: u64,
    /// When the check should have ended.
    pub(super) due: Instant,
    pub(super) now: Instant,
    pub(super) frames_in: Option<u64>,
}

impl OpenCheck {
    /// How it ended, and why if that counts against nobody.
    ///
    /// Answered means: a reply to this request, or to a later one on this path, with a round trip of at most an interval.
    /// That it came after this request left is asked too, so that nothing left in a map from before speaks for the peer.
    pub(super) fn judge(&self, ending: &Ending, settings: &CheckSettings) -> (Check, Option<VoidCause>) {
        let answer = ending.reading.filter(|reading| {
            (self.sequence..=ending.last_sequence).contains(&reading.reply_sequence)
                && reading.reply_at >= self.sent_at
                && reading.rtt <= settings.interval()
        });
        if let Some(reading) = answer {
            return (Check::Answered { rtt: reading.rtt }, None);
        }
        let Some(cause) = self.excuse(ending, settings) else { return (Check::Missed, None) };
        // A path we cannot send on has its chance in so far as we heard something at all; only a stall of our own says
        // nothing about it.
        let stalled = matches!(cause, VoidCause::SentLate | VoidCause::Gap);
        let heard_others = match (self.frames_in, ending.frames_in) {
            (Some(before), Some(after)) if stalled => after > before,
            // Unknown: bounded forgiveness is the safe side, since a deaf node must not hold for ever.
            _ => true,
        };
        (Check::Void { heard_others }, Some(cause))
    }

    fn excuse(&self, ending: &Ending, settings: &CheckSettings) -> Option<VoidCause> {
        let Some(reading) = ending.reading else { return Some(VoidCause::Unreadable) };
        if self.fault.is_some() {
            return self.fault;
        }
        if settings.is_late(ending.due, ending.now) {
            return Some(VoidCause::Gap);
        }
        (reading.their_incarnation != self.named).then_some(VoidCause::Challenged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_engine::Duration;

    const SETTINGS: CheckSettings = CheckSettings::new(Duration::from_millis(10), 3, 5);
    const RTT: Duration = Duration::from_nanos(150_000);
    const MISSED: (Check, Option<VoidCause>) = (Check::Missed, None);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn check() -> OpenCheck {
        OpenCheck { sequence: 160, sent_at: at(100), fault: None, named: 5, frames_in: Some(7) }
    }

    fn reading(reply_sequence: u64, reply_at: Instant) -> Reading {
        Reading { reply_sequence, reply_at, rtt: RTT, their_incarnation: 5, ..Reading::default() }
    }

    fn ending(reading: Reading) -> Ending {
        Ending { reading: Some(reading), last_sequence: 160, due: at(110), now: at(110), frames_in: Some(7) }
    }

    #[test]
    fn answered_by_its_own_reply_however_late_we_were() {
        let answered = (Check::Answered { rtt: RTT }, None);
        let reply = reading(160, at(101));
        assert_eq!(check().judge(&ending(reply), &SETTINGS), answered);
        assert_eq!(check().judge(&Ending { now: at(500), ..ending(reply) }, &SETTINGS), answered);
        let late = OpenCheck { fault: Some(VoidCause::SentLate), ..check() };
        assert_eq!(late.judge(&ending(reply), &SETTINGS), answered);
    }

    #[test]
    fn another_reply_counts_only_if_it_is_later_and_ours() {
        assert_eq!(check().judge(&ending(reading(144, at(101))), &SETTINGS), MISSED);
        let later = reading(176, at(104));
        assert_eq!(check().judge(&ending(later), &SETTINGS), MISSED, "never sent by us");
        let extra = Ending { last_sequence: 176, ..ending(later) };
        assert_eq!(check().judge(&extra, &SETTINGS), (Check::Answered { rtt: RTT }, None));
        assert_eq!(check().judge(&ending(reading(160, at(99))), &SETTINGS), MISSED, "left from before");
    }

    #[test]
    fn a_reply_after_more_than_an_interval_is_none() {
        let slow = |rtt| Reading { rtt, ..reading(160, at(101)) };
        let interval = SETTINGS.interval();
        assert_eq!(check().judge(&ending(slow(interval)), &SETTINGS).0, Check::Answered { rtt: interval });
        assert_eq!(check().judge(&ending(slow(interval + Duration::from_nanos(1))), &SETTINGS), MISSED);
    }

    #[test]
    fn our_own_lateness_is_void_and_says_whether_we_were_deaf() {
        let silent = reading(0, at(0));
        for (frames_in, heard_others) in [(Some(7), false), (Some(8), true), (None, true)] {
            let gap = Ending { now: at(116), frames_in, ..ending(silent) };
            let expected = (Check::Void { heard_others }, Some(VoidCause::Gap));
            assert_eq!(check().judge(&gap, &SETTINGS), expected);
            let late = OpenCheck { fault: Some(VoidCause::SentLate), ..check() };
            let expected = (Check::Void { heard_others }, Some(VoidCause::SentLate));
            assert_eq!(late.judge(&Ending { frames_in, ..ending(silent) }, &SETTINGS), expected);
        }
        assert_eq!(check().judge(&Ending { now: at(115), ..ending(silent) }, &SETTINGS), MISSED);
    }

    #[test]
    fn what_did_not_leave_is_forgiven_with_an_end() {
        let unsent = OpenCheck { fault: Some(VoidCause::NotSent), ..check() };
        let expected = (Check::Void { heard_others: true }, Some(VoidCause::NotSent));
        assert_eq!(unsent.judge(&ending(reading(0, at(0))), &SETTINGS), expected);
        let unreadable = Ending { reading: None, ..ending(reading(0, at(0))) };
        let expected = (Check::Void { heard_others: true }, Some(VoidCause::Unreadable));
        assert_eq!(check().judge(&unreadable, &SETTINGS), expected);
    }

    #[test]
    fn a_challenge_counts_against_nobody() {
        let restarted = Reading { their_incarnation: 6, ..reading(144, at(90)) };
        let expected = (Check::Void { heard_others: true }, Some(VoidCause::Challenged));
        assert_eq!(check().judge(&ending(restarted), &SETTINGS), expected);
    }
}
