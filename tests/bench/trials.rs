//! Trials of one case on one product: a lab that lives for all of them, figures, and promises that are kept or not.
//!
//! A trial that fails takes its lab with it; the next one gets a new lab, so that one surprise spoils one trial.

use anyhow::Result;
use holdfast_lab::episode::Rig;
pub(crate) use holdfast_lab::figures::USUAL_TRIALS;
use holdfast_lab::figures::{Failure, Request, Results, Subject};
use holdfast_lab::gateway_pair::{GatewayPair, Product};
use holdfast_lab::netns::LabName;
use std::time::Duration;

/// Everything that is measured in one run of the program.
pub(crate) struct Session {
    pub(crate) request: Request,
    pub(crate) results: Results,
}

/// A lab with a pair of gateways, which trials share.
pub(crate) trait Bed: Sized {
    fn pair(&self) -> &GatewayPair;
    /// Brings back what is down and waits until A serves.
    fn settle(&mut self) -> Result<()>;
}

impl Bed for Rig {
    fn pair(&self) -> &GatewayPair {
        &self.pair
    }

    fn settle(&mut self) -> Result<()> {
        Rig::settle(self, &mut |_| ())
    }
}

/// What one trial finds out.
#[derive(Default)]
pub(crate) struct Findings {
    values: Vec<Value>,
    broken: Vec<String>,
}

struct Value {
    /// Added to the trial's case, for trials that do several things.
    case: Option<String>,
    measure: &'static str,
    unit: &'static str,
    value: Option<f64>,
}

impl Findings {
    /// Notes a value; `None` if what was waited for never came.
    pub(crate) fn add(&mut self, measure: &'static str, unit: &'static str, value: impl Into<Option<f64>>) {
        self.values.push(Value { case: None, measure, unit, value: value.into() });
    }

    pub(crate) fn add_ms(&mut self, measure: &'static str, value: Duration) {
        self.add(measure, "ms", milliseconds(value));
    }

    /// Demands that a promise was kept.
    pub(crate) fn demand(&mut self, kept: bool, broken: impl FnOnce() -> String) {
        if !kept {
            self.broken.push(broken());
        }
    }

    /// Takes over what was found in one part of a trial.
    pub(crate) fn take_part(&mut self, case: &str, part: Findings) {
        let values = part.values.into_iter().map(|value| Value { case: Some(case.to_owned()), ..value });
        self.values.extend(values);
        self.broken.extend(part.broken.into_iter().map(|broken| format!("{case}: {broken}")));
    }
}

pub(crate) fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// `adverts every 100 ms`.
pub(crate) fn every(interval: Duration) -> String {
    format!("adverts every {} ms", interval.as_millis())
}

impl Session {
    pub(crate) fn new(request: Request) -> Self {
        Session { request, results: Results::default() }
    }

    /// The products that are asked for.
    pub(crate) fn products(&self) -> Vec<Product> {
        self.request.products.clone()
    }

    /// All trials of a case on a rig at this advertisement interval.
    pub(crate) fn on_rig(
        &mut self,
        bench: &str,
        case: &str,
        product: Product,
        interval: Duration,
        trial: impl FnMut(&mut Rig, &mut Findings) -> Result<()>,
    ) {
        self.trials(bench, case, product, || Rig::start(LabName::unique(), product, interval), trial);
    }

    /// All trials of a case on a bed.
    pub(crate) fn trials<B: Bed>(
        &mut self,
        bench: &str,
        case: &str,
        product: Product,
        start: impl Fn() -> Result<B>,
        trial: impl FnMut(&mut B, &mut Findings) -> Result<()>,
    ) {
        self.so_many_trials(USUAL_TRIALS, bench, case, product, start, trial);
    }

    /// As [`Session::trials`], `usual` times if nothing else is asked for.
    pub(crate) fn so_many_trials<B: Bed>(
        &mut self,
        usual: usize,
        bench: &str,
        case: &str,
        product: Product,
        start: impl Fn() -> Result<B>,
        mut trial: impl FnMut(&mut B, &mut Findings) -> Result<()>,
    ) {
        let subject = Subject { bench: bench.to_owned(), case: case.to_owned(), product: Some(product) };
        let trials = self.request.trials(usual);
        let mut standing: Option<B> = None;
        for number in 1..=trials {
            eprintln!("{}: trial {number} of {trials}", subject.shown());
            let settled = match standing.take() {
                Some(mut bed) => bed.settle().map(|()| bed),
                None => start(),
            };
            let mut bed = match settled {
                Ok(bed) => bed,
                Err(error) => {
                    self.fail(&subject, number, format!("{error:#}"), String::new());
                    continue;
                }
            };
            let mut findings = Findings::default();
            let outcome = trial(&mut bed, &mut findings);
            findings.broken.extend(outcome.err().map(|error| format!("{error:#}")));
            self.keep(&subject, number, findings, &bed);
            let spoilt = self
                .results
                .failures
                .last()
                .is_some_and(|last| last.trial == number && last.subject == subject);
            standing = (!spoilt).then_some(bed);
        }
    }

    /// All trials of something that is neither product.
    #[allow(dead_code, reason = "not every program that shares this file has such a bench")]
    pub(crate) fn apart(
        &mut self,
        usual: usize,
        bench: &str,
        case: &str,
        mut trial: impl FnMut(&mut Findings) -> Result<()>,
    ) {
        let subject = Subject { bench: bench.to_owned(), case: case.to_owned(), product: None };
        let trials = self.request.trials(usual);
        for number in 1..=trials {
            eprintln!("{}: trial {number} of {trials}", subject.shown());
            let mut findings = Findings::default();
            let outcome = trial(&mut findings);
            findings.broken.extend(outcome.err().map(|error| format!("{error:#}")));
            self.keep_values(&subject, findings.values);
            if !findings.broken.is_empty() {
                self.fail(&subject, number, findings.broken.join("; "), String::new());
            }
        }
    }

    fn keep_values(&mut self, subject: &Subject, values: Vec<Value>) {
        for Value { case, measure, unit, value } in values {
            let case = case.map_or(subject.case.clone(), |part| format!("{}, {part}", subject.case));
            self.results.add(&Subject { case, ..subject.clone() }, measure, unit, value);
        }
    }

    fn keep<B: Bed>(&mut self, subject: &Subject, number: usize, findings: Findings, bed: &B) {
        self.keep_values(subject, findings.values);
        if !findings.broken.is_empty() {
            self.fail(subject, number, findings.broken.join("; "), bed.pair().log_tails());
        }
    }

    fn fail(&mut self, subject: &Subject, trial: usize, what: String, log_tails: String) {
        eprintln!("{}: trial {trial} FAILED: {what}", subject.shown());
        self.results.failures.push(Failure { subject: subject.clone(), trial, what, log_tails });
    }
}
