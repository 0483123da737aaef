//! The life of one check: run, judge, report, wait, run again.
//!
//! A run that outlasts the interval delays the next one; runs that were missed are not made up for. Everything stays on
//! the checks' thread. Dropping the future ends the check and whatever it has running.

use super::examiner::{Examiner, Outcome};
use super::judgement::{CheckState, Judgement};
use super::report::{CheckReport, CheckStatus, StatusBoard};
use super::runner::ReportSink;
use crate::config::validated::Check;
use crate::runtime::clock;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Whatever the configuration says, a check runs no more often than this.
const MINIMUM_INTERVAL: Duration = Duration::from_millis(10);

/// Where a check tells what it found.
#[derive(Clone)]
pub(super) struct Audience {
    pub(super) board: Arc<StatusBoard>,
    pub(super) sink: Rc<ReportSink>,
}

/// One check and everything it needs.
pub(super) struct Cycle {
    interval: Duration,
    timeout: Duration,
    examiner: Examiner,
    judgement: Judgement,
    status: CheckStatus,
    audience: Audience,
}

impl Cycle {
    /// Goes on from what the board knows of the check: its state and its counts. A check that is new there starts with
    /// [`CheckState::Unknown`].
    pub(super) fn new(check: &Check, examiner: Examiner, audience: Audience) -> Self {
        let known = audience.board.find(&check.name);
        let known = known.map_or_else(
            || CheckStatus { name: check.name.clone(), ..CheckStatus::default() },
            |status| (*status).clone(),
        );
        let judgement = Judgement::continued(known.state, check.rise, check.fall);
        let status = CheckStatus { consecutive: judgement.consecutive(), ..known };
        audience.board.put(status.clone());
        let interval = check.interval.max(MINIMUM_INTERVAL);
        Self { interval, timeout: check.timeout, examiner, judgement, status, audience }
    }

    /// Runs the check for as long as the future is polled.
    pub(super) async fn run(mut self) {
        let mut next = self.run_once().await + self.phase();
        loop {
            sleep_until(next).await;
            next = self.run_once().await + self.interval;
        }
    }

    /// Returns when the run began.
    async fn run_once(&mut self) -> Instant {
        let began = Instant::now();
        let outcome = self.examiner.run(self.timeout).await;
        self.take(outcome, began.elapsed());
        began
    }

    fn take(&mut self, outcome: Outcome, took: Duration) {
        let changed = self.judgement.take(outcome.good);
        let now = clock::now();
        let status = &mut self.status;
        status.state = self.judgement.state();
        status.consecutive = self.judgement.consecutive();
        status.last_good = Some(outcome.good);
        status.last_duration = Some(took);
        status.runs += 1;
        status.timeouts += u64::from(outcome.timed_out);
        if changed.is_some() {
            status.changed_at = Some(now);
        }
        status.detail = outcome.detail;
        self.audience.board.put(status.clone());
        if let Some(state) = changed {
            let (name, detail) = (status.name.clone(), status.detail.clone());
            (self.audience.sink)(CheckReport { name, state, detail, at: now });
        }
    }

    /// All checks run at once at the start. The second runs are spread over half an interval, by name, so that many checks
    /// of one interval do not stay in step.
    fn phase(&self) -> Duration {
        let mut hasher = DefaultHasher::new();
        self.status.name.hash(&mut hasher);
        let half = self.interval / 2;
        half + half.mul_f64(f64::from(hasher.finish() as u32) / f64::from(u32::MAX))
    }
}

/// Takes a check's state back because it is another check now, though under its old name.
pub(super) fn forget(name: &str, audience: &Audience) {
    let known = audience.board.find(name);
    audience.board.remove(name);
    if known.is_some_and(|status| status.state != CheckState::Unknown) {
        let detail = "the check was changed and has not run since".to_owned();
        let (name, state) = (name.to_owned(), CheckState::Unknown);
        (audience.sink)(CheckReport { name, state, detail, at: clock::now() });
    }
}
