//! A reload that changes the bypass: the thread with the old pairs and settings ends, one with the new ones takes over.
//!
//! Ending a thread waits for what it is doing with the hardware, so this happens beside the controller's loop, which
//! gives no orders meanwhile. What is engaged stays so; a pair that is in bypass cannot be taken away or changed.

use super::bypassing::{Bypassing, port_pairs, report_sink, settings};
use super::controller::Controller;
use super::requests::Command;
use crate::bypass::{Bypass, PortPair, StartError};
use crate::config::validated::{self, Config};
use crate::datapath::DatapathError;
use holdfast_engine::Instant;
use nix::sys::signal::SigSet;

const THREAD_NAME: &str = "hf-exchange";

/// A bypass thread that was started for a new configuration.
#[derive(Debug)]
pub(super) struct Exchanged {
    config: validated::Bypass,
    pairs: Vec<PortPair>,
    thread: Result<Option<Bypass>, StartError>,
}

impl Controller {
    /// Why the pairs of `next` cannot be taken up now.
    pub(super) fn bypass_refusal(&self, next: &Config) -> Option<String> {
        let engaged = [self.bypassing.engaged(), self.bypassing.wanted()].concat();
        let kept = |name: &String| {
            let of = |config: &Config| config.link_pairs.iter().find(|pair| pair.name == *name).cloned();
            of(next) == of(&self.config)
        };
        let lost = engaged.iter().find(|name| !kept(name))?;
        Some(format!(
            "nothing was changed: link pair {lost} is in bypass; `holdfast bypass release {lost}` before it is removed or \
             changed"
        ))
    }

    /// Takes up what a reload has changed about the bypass; the present configuration is the new one already.
    pub(super) fn exchange_bypass(&mut self, before: &Config) {
        let (old, new) = (port_pairs(&before.link_pairs), port_pairs(&self.config.link_pairs));
        if old == new && before.bypass == self.config.bypass {
            if settings(before) != settings(&self.config) {
                self.bypassing.reconfigure(&self.config);
            }
            return;
        }
        if let Some(thread) = self.bypassing.thread.take() {
            self.replace_bypass(thread, &old, new);
        }
    }

    fn replace_bypass(&mut self, thread: Bypass, old: &[PortPair], pairs: Vec<PortPair>) {
        // A wire is known by its place in the list: what moves must not stay connected under the old one.
        let moved = old.iter().enumerate().filter(|(place, pair)| pairs.get(*place) != Some(pair));
        let gone: Vec<_> = moved
            .map(|(_, pair)| crate::bypass::WirePorts { pair: pair.name.clone(), ..Default::default() })
            .collect();
        if !gone.is_empty() {
            thread.rewire(gone);
        }
        let (config, own) = (self.config.bypass.clone(), self.own_mailbox.clone());
        let started = std::thread::Builder::new().name(THREAD_NAME.into()).spawn(move || {
            // The programs that it starts must not inherit the controller's mask.
            let _ = SigSet::all().thread_unblock();
            let maps = thread.stop();
            let thread = Bypass::spawn(&config, &pairs, maps, report_sink(own.clone()));
            own.send(Command::BypassExchanged(Box::new(Exchanged { config, pairs, thread })));
        });
        if let Err(error) = started {
            tracing::error!("the bypass cannot take up its new settings ({error}); restart the daemon");
        }
    }

    /// The new thread runs. Orders first, then the ports, so that no engaged wire is interrupted.
    pub(super) fn bypass_exchanged(
        &mut self,
        now: Instant,
        exchanged: Exchanged,
    ) -> Result<(), DatapathError> {
        let Exchanged { config, pairs, thread } = exchanged;
        let wanted = port_pairs(&self.config.link_pairs);
        match thread {
            Ok(Some(thread)) if config != self.config.bypass || pairs != wanted => {
                // Reloaded again meanwhile.
                self.replace_bypass(thread, &pairs, wanted);
                return Ok(());
            }
            Ok(thread) => self.bypassing.thread = thread,
            Err(error) => tracing::error!("the bypass cannot take up its new settings: {error}"),
        }
        self.bypassing.reconfigure(&self.config);
        self.settle_bypass(now)?;
        self.rewire_bypass()
    }
}

impl Bypassing {
    fn reconfigure(&mut self, config: &Config) {
        self.reports.retain(|name, _| config.link_pairs.iter().any(|pair| pair.name == *name));
        self.policy.reconfigure(settings(config));
    }
}
