//! Rise and fall: from single results to the judged state. Pure: no clock and no input of its own.

use serde::{Deserialize, Serialize};

/// What is held of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// Nothing is known yet: no run has ended since the start, or since the check became another one. Neither passing
    /// nor failing; whoever consumes it decides what to do meanwhile.
    #[default]
    Unknown,
    Passing,
    Failing,
}

/// The judgement of one check.
///
/// The first result decides at once; after that it takes `rise` good results in a row to pass and `fall` bad ones in a
/// row to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    rise: u32,
    fall: u32,
    state: CheckState,
    last: Option<bool>,
    consecutive: u32,
}

impl Judgement {
    /// Without any knowledge. Zero counts as one.
    pub fn new(rise: u32, fall: u32) -> Self {
        Self::continued(CheckState::Unknown, rise, fall)
    }

    /// Keeps a state that was judged under other settings; the results in a row are counted anew.
    pub fn continued(state: CheckState, rise: u32, fall: u32) -> Self {
        Self { rise: rise.max(1), fall: fall.max(1), state, last: None, consecutive: 0 }
    }

    /// Takes a result in. Some where it changed the state.
    pub fn take(&mut self, good: bool) -> Option<CheckState> {
        self.consecutive = if self.last == Some(good) { self.consecutive.saturating_add(1) } else { 1 };
        self.last = Some(good);
        let (judged, needed) =
            if good { (CheckState::Passing, self.rise) } else { (CheckState::Failing, self.fall) };
        let enough = self.state == CheckState::Unknown || self.consecutive >= needed;
        if !enough || self.state == judged {
            return None;
        }
        self.state = judged;
        Some(judged)
    }

    pub fn state(&self) -> CheckState {
        self.state
    }

    /// Results like the last one, in a row; 0 before the first.
    pub fn consecutive(&self) -> u32 {
        self.consecutive
    }
}

#[cfg(test)]
mod tests {
    use super::CheckState::{Failing, Passing, Unknown};
    use super::*;

    /// The changes that a row of results (`+` good, `-` bad) makes, as (position, state).
    fn changes(judgement: &mut Judgement, results: &str) -> Vec<(usize, CheckState)> {
        let judged = results.chars().map(|result| judgement.take(result == '+')).enumerate();
        judged.filter_map(|(position, state)| Some((position, state?))).collect()
    }

    #[test]
    fn the_first_result_decides_at_once() {
        assert_eq!(Judgement::new(5, 5).state(), Unknown);
        assert_eq!(Judgement::new(5, 5).take(true), Some(Passing));
        assert_eq!(Judgement::new(5, 5).take(false), Some(Failing));
    }

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        let mut judgement = Judgement::new(2, 3);
        assert_eq!(changes(&mut judgement, "+--+--+---"), [(0, Passing), (9, Failing)]);
        assert_eq!(changes(&mut judgement, "-+-+-++"), [(6, Passing)]);
        assert_eq!(changes(&mut judgement, "++++"), []);
        assert_eq!(judgement.consecutive(), 6);
    }

    #[test]
    fn one_of_each_follows_every_result_and_zero_is_one() {
        let all = [(0, Failing), (1, Passing), (2, Failing), (3, Passing)];
        assert_eq!(changes(&mut Judgement::new(1, 1), "-+-+"), all);
        assert_eq!(changes(&mut Judgement::new(0, 0), "-+-+"), all);
    }

    #[test]
    fn a_continued_state_is_left_only_by_enough_results() {
        let mut judgement = Judgement::continued(Failing, 3, 1);
        assert_eq!((judgement.state(), judgement.consecutive()), (Failing, 0));
        assert_eq!(changes(&mut judgement, "++-+++"), [(5, Passing)]);
    }

    #[test]
    fn every_sequence_of_results_keeps_the_rule() {
        for (rise, fall) in [(1, 1), (1, 3), (3, 1), (2, 2), (4, 3)] {
            for pattern in 0u32..1 << 12 {
                let results: Vec<bool> = (0..12).map(|bit| pattern >> bit & 1 == 1).collect();
                let mut judgement = Judgement::new(rise, fall);
                for (position, &good) in results.iter().enumerate() {
                    let before = judgement.state();
                    let changed = judgement.take(good);
                    let needed = if good { rise } else { fall } as usize;
                    let row = results[..=position].iter().rev().take_while(|&&result| result == good).count();
                    let wanted = if good { Passing } else { Failing };
                    let moves = before != wanted && (before == Unknown || row >= needed);
                    assert_eq!(changed, moves.then_some(wanted), "{results:?} at {position}, {rise}/{fall}");
                    assert_eq!(judgement.consecutive() as usize, row);
                }
            }
        }
    }
}
