//! The configuration: whatever the text, either a whole configuration or problems that say what, where and what to do.

use holdfast::config::{Loaded, Problem, difference, parse, units};

const FILE: &str = "fuzz.toml";

/// A file's text.
pub(super) fn file(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let lines = text.matches('\n').count() + 1;
    let outcome = parse(text, FILE);
    match &outcome {
        Ok(loaded) => check_loaded(text, lines, loaded),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            problems.iter().for_each(|problem| check_problem(problem, lines));
            assert!(
                problems.is_sorted_by_key(|problem| problem.line),
                "problems come in the order of their lines"
            );
        }
    }
    // The same text says the same again.
    match (outcome, parse(text, FILE)) {
        (Ok(one), Ok(other)) => assert_eq!((one.config, one.warnings), (other.config, other.warnings)),
        (Err(one), Err(other)) => assert_eq!(one, other),
        (one, other) => panic!("{one:?} and {other:?} of one text"),
    }
}

/// Every problem names the file and the line or the key, and what to do.
fn check_problem(problem: &Problem, lines: usize) {
    assert_eq!(problem.file, FILE);
    assert!(problem.line <= lines, "line {} of {lines}", problem.line);
    assert!(problem.line > 0 || !problem.path.is_empty(), "neither line nor key: {problem}");
    assert!(!problem.message.trim().is_empty() && !problem.help.trim().is_empty(), "{problem}");
    let shown = problem.to_string();
    assert!(shown.contains(&problem.message) && shown.contains(&problem.path), "{shown}");
}

fn check_loaded(text: &str, lines: usize, loaded: &Loaded) {
    loaded.warnings.iter().for_each(|warning| check_problem(warning, lines));
    let config = &loaded.config;
    assert!(!config.virtual_routers.is_empty(), "nothing to run on");
    for router in &config.virtual_routers {
        assert!(router.vrid > 0 && !router.name.is_empty() && !router.addresses.is_empty());
        let (first, all) = (router.addresses[0].address, &router.addresses);
        assert!(all.iter().all(|each| each.address.is_ipv4() == first.is_ipv4()), "two families");
    }
    assert!(difference(config, config).is_empty(), "a configuration differs from itself");
    // A comment at the end changes nothing.
    let Ok(commented) = parse(&format!("{text}\n# the end\n"), FILE) else { panic!("a comment was refused") };
    assert!(difference(config, &commented.config).is_empty());
    assert_eq!(*config, commented.config);
}

/// The text of a duration or rate.
pub(super) fn quantities(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match units::duration(text) {
        Ok(duration) => {
            let shown = units::show_duration(duration);
            assert_eq!(units::duration(&shown), Ok(duration), "{text:?} is shown as {shown:?}");
            assert!(text.bytes().any(|byte| byte.is_ascii_alphabetic()), "{text:?} has no unit");
        }
        Err(error) => assert!(error.to_string().contains(text), "{error} does not name {text:?}"),
    }
    match units::rate(text) {
        Ok(rate) => {
            let shown = units::show_rate(rate);
            assert_eq!(units::rate(&shown), Ok(rate), "{text:?} is shown as {shown:?}");
            assert!(text.trim().ends_with("bps"), "{text:?} has no unit");
        }
        Err(error) => assert!(error.to_string().contains(text), "{error} does not name {text:?}"),
    }
}
