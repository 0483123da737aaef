//! Runs the checker and tells what it found, histories made as short as they can be.

use crate::cluster::Cluster;
use crate::model::{ClusterModel, Deed};
use crate::settings::Settings;
use stateright::{Checker, Expectation, Model};
use std::fmt;
use std::time::{Duration, Instant};

/// What a check found.
#[derive(Debug)]
pub struct Report {
    pub settings: Settings,
    /// Different states.
    pub states: usize,
    pub took: Duration,
    /// Every state was visited: it ended by itself.
    pub complete: bool,
    /// What must never be and is.
    pub breaches: Vec<Breach>,
    /// What must be possible and was not seen, where faults end at any moment.
    pub unseen: Vec<&'static str>,
}

/// A history that leads to what must never be.
#[derive(Debug)]
pub struct Breach {
    pub property: &'static str,
    /// From the settled cluster, or, if `cold`, from the moment both nodes start.
    pub cold: bool,
    pub deeds: Vec<Deed>,
}

/// Visits every state, for `patience` at most.
pub fn check(settings: Settings, threads: usize, patience: Duration) -> Report {
    let began = Instant::now();
    let model = ClusterModel { settings };
    let checker = model.checker().threads(threads).timeout(patience).spawn_bfs().join();
    let took = began.elapsed();
    let mut discoveries = checker.discoveries();
    let (mut breaches, mut unseen) = (Vec::new(), Vec::new());
    for property in model.properties() {
        let found = discoveries.remove(property.name);
        match (property.expectation, found) {
            (Expectation::Sometimes, None) if settings.window.is_none() => unseen.push(property.name),
            (Expectation::Always, Some(path)) => {
                let deeds = path.into_actions();
                breaches.push(Breach::shortest(model, property.name, deeds));
            }
            (Expectation::Always | Expectation::Eventually | Expectation::Sometimes, _) => {}
        }
    }
    let complete = took < patience;
    Report { settings, states: checker.unique_state_count(), took, complete, breaches, unseen }
}

impl Breach {
    /// The history without what it does not need: runs of deeds are left out as long as it still ends in the breach.
    fn shortest(model: ClusterModel, property: &'static str, deeds: Vec<Deed>) -> Self {
        let starts = model.init_states();
        let cold = starts.iter().position(|start| breaks(model, property, start, &deeds)) == Some(1);
        let start = &starts[usize::from(cold)];
        let mut deeds = deeds;
        let mut run = deeds.len();
        while run > 0 {
            let before = deeds.len();
            let mut at = 0;
            while at + run <= deeds.len() {
                let mut without = deeds.clone();
                without.drain(at..at + run);
                if breaks(model, property, start, &without) {
                    deeds = without;
                } else {
                    at += 1;
                }
            }
            // Shorter runs, and once more from the longest that may be left out now.
            run = if deeds.len() < before { deeds.len() } else { run - 1 };
        }
        Breach { property, cold, deeds }
    }
}

/// Whether a history, each of whose deeds is possible when it comes, meets the breach anywhere.
fn breaks(model: ClusterModel, property: &'static str, start: &Cluster, deeds: &[Deed]) -> bool {
    let holds = model.property(property).condition;
    let mut state = start.clone();
    for deed in deeds {
        let mut possible = Vec::new();
        model.actions(&state, &mut possible);
        if !possible.contains(deed) {
            return false;
        }
        let Some(next) = model.next_state(&state, *deed) else { return false };
        state = next;
        if !holds(&model, &state) {
            return true;
        }
    }
    false
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = if self.cold { "from the start" } else { "settled" };
        write!(formatter, "not kept: {}\n    {start}", self.property)?;
        for row in self.deeds.chunk_by(|one, next| one == next) {
            match row[0] {
                Deed::Tick => write!(formatter, ", {} steps", row.len())?,
                deed => write!(formatter, ", {deed:?}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.complete { "all of them" } else { "cut short" };
        let Settings { name, faults, window, .. } = self.settings;
        let when = window.map_or_else(String::new, |steps| format!(" within {steps} steps"));
        write!(
            formatter,
            "{name}, faults: {faults}{when}: {} states, {end}, in {:.1?}",
            self.states, self.took
        )?;
        for breach in &self.breaches {
            write!(formatter, "\n  {breach}")?;
        }
        for unseen in &self.unseen {
            write!(formatter, "\n  never seen: {unseen}")?;
        }
        Ok(())
    }
}
