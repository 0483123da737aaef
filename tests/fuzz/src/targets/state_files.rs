//! State files, however a crash, a bad disk or an editor left them: read whole or refused with a reason.

use holdfast::effects::{latch, record::Record};
use holdfast::journal::{Timestamp, explain, record::records};
use holdfast::probes::incarnation;
use holdfast_engine::{Duration, FlapGovernor, FlapSettings, FlapUnit, Instant, LatchRelease};
use std::time::UNIX_EPOCH;

const NOW: Instant = Instant::from_nanos(60_000_000_000);
const NOW_UNIX: u64 = 1_800_000_000;

/// `flaps.json`, and the governor that goes on from it. An input that is only the record is put into an envelope, since no
/// mutation finds a checksum.
pub(super) fn flap_latch(input: &[u8]) {
    let found = latch::parse(input).or_else(|reason| {
        assert!(!reason.is_empty());
        let bare = serde_json::from_slice(input).map_err(|error| error.to_string())?;
        latch::encode(&bare).map_err(|error| error.to_string()).and_then(|content| latch::parse(&content))
    });
    let Ok(record) = found else { return };
    let Ok(content) = latch::encode(&record) else { panic!("{record:?} cannot be written") };
    assert_eq!(latch::parse(&content).as_ref(), Ok(&record), "a record reads back");
    for release in [LatchRelease::Manual, LatchRelease::After(Duration::from_secs(60))] {
        let settings = FlapSettings { maximum_allowed: 3, window: Duration::from_secs(600), release };
        go_on(settings, &record);
    }
}

fn go_on(settings: FlapSettings, record: &holdfast_engine::FlapRecord) {
    let mut governor = FlapGovernor::restore(settings, NOW, NOW_UNIX, record.clone());
    assert_eq!(governor.is_latched(), record.latch.is_some(), "a latch outlives a restart");
    let again = governor.record(NOW, NOW_UNIX);
    assert_eq!(again.latch.map(|latch| latch.reason), record.latch.map(|latch| latch.reason));
    let twice = FlapGovernor::restore(settings, NOW, NOW_UNIX, again.clone());
    assert_eq!(twice.record(NOW, NOW_UNIX), again, "a second restart at once changes nothing");
    let view = governor.view(NOW);
    assert_eq!(view.latched.is_some(), governor.is_latched());
    governor.handle_timeout(NOW);
    assert!(governor.deadline().is_none_or(|deadline| deadline > NOW), "a timer that is due after it ran");
    if settings.release == LatchRelease::Manual {
        assert_eq!(governor.is_latched(), record.latch.is_some(), "only the operator releases");
    }
    governor.regained(NOW, FlapUnit(1));
    governor.lost(NOW, FlapUnit(1), true);
    governor.regained(NOW, FlapUnit(1));
    governor.release();
    assert!(!governor.is_latched() && governor.record(NOW, NOW_UNIX).latch.is_none());
}

/// `addresses.json`.
pub(super) fn address_record(input: &[u8]) {
    match Record::parse(input) {
        Ok(record) => {
            let Ok(content) = serde_json::to_vec_pretty(&record) else {
                panic!("{record:?} cannot be written")
            };
            assert_eq!(Record::parse(&content).as_ref(), Ok(&record), "a record reads back");
            assert_eq!(record.is_empty(), record.routers.is_empty() && record.sysctls.is_empty());
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
}

/// `incarnation`.
pub(super) fn incarnation(input: &[u8]) {
    match incarnation::parse(input) {
        Ok(starts) => {
            assert_ne!(starts, u32::MAX, "no later start could be told from this one");
            let content = format!("{{\"format\":1,\"starts\":{starts}}}");
            assert_eq!(incarnation::parse(content.as_bytes()), Ok(starts));
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
}

/// `journal.jsonl`: what can be read is read, whatever stands around it, and can be put into words.
pub(super) fn journal(input: &[u8]) {
    let found: Vec<_> = records(input).collect();
    assert!(found.len() <= input.split(|byte| *byte == b'\n').count());
    let now = Timestamp::from(UNIX_EPOCH + std::time::Duration::from_secs(NOW_UNIX));
    let mut content = Vec::new();
    for record in &found {
        assert!(!explain::line(&record.event).is_empty());
        let sentences = explain::why(record, now);
        assert_eq!(sentences.is_empty(), record.event.transition().is_none());
        let Ok(line) = serde_json::to_vec(record) else { panic!("{record:?} cannot be written") };
        assert!(!line.contains(&b'\n'), "a record is one line");
        // A torn line before it costs nothing but itself.
        content.extend_from_slice(&line[..line.len() / 2]);
        content.push(b'\n');
        content.extend(line);
        content.push(b'\n');
    }
    assert_eq!(records(&content).collect::<Vec<_>>(), found, "what was written is not what is read");
}
