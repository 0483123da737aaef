//! Waiting for a condition with a deadline, instead of sleeping and hoping.

use crate::clock::Moment;
use anyhow::{Result, bail};
use std::time::Duration;

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Calls `look` until it gives a value; an error names `what` after `deadline`.
pub fn eventually<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Moment::now() + deadline;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Moment::now() >= end {
            bail!("{what}: not within {deadline:?}");
        }
        std::thread::sleep(PAUSE);
    }
}

/// [`eventually`] for a plain condition.
pub fn eventually_true(what: &str, deadline: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    eventually(what, deadline, || holds().then_some(()))
}

/// Watches for `span` that the condition never fails; an error names `what` and when it failed.
pub fn always(what: &str, span: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    let begin = Moment::now();
    while begin.elapsed() < span {
        if !holds() {
            bail!("{what}: failed after {:?}", begin.elapsed());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_is_found() {
        let mut looks = 0;
        let found = eventually("third look", Duration::from_secs(5), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn a_deadline_names_what_was_awaited() {
        let error = eventually_true("a miracle", Duration::from_millis(10), || false).unwrap_err();
        assert!(error.to_string().starts_with("a miracle: not within"));
    }

    #[test]
    fn always_reports_a_lapse() {
        let mut looks = 0;
        let lapse = always("steady", Duration::from_secs(5), || {
            looks += 1;
            looks < 3
        });
        assert!(lapse.is_err());
        assert!(always("steady", Duration::from_millis(10), || true).is_ok());
    }
}
