//! What the controller does about its own fitness: takes in what checks, links and counters say, and tells engine and journal.
//!
//! [`super::fitness`], [`super::link_pairs`] and [`super::bandwidth`] judge; this file reads the maps for them and carries
//! their verdicts on. Nothing here waits: checks report through the mailbox, ports are read again by the effects thread.

use super::bandwidth::Port;
use super::controller::Controller;
use super::fitness::{CheckSetting, Member};
use super::passing::PortTraffic;
use super::wiring::monitored_names;
use crate::checks::CheckReport;
use crate::config::validated::{self, Check};
use crate::datapath::DatapathError;
use crate::journal::{Event, NoticeEvent};
use holdfast_engine::{Cause, CheckScope, Input, Instant, Membership, Role, RouterId};

impl Controller {
    /// Takes up the configuration of checks, pairs and guards: after the engine has the routers, before interfaces are told.
    pub(super) fn configure_fitness(&mut self, now: Instant) -> Result<(), DatapathError> {
        let settings = self.config.checks.iter().filter_map(|check| self.check_setting(check)).collect();
        let members = self.routers.iter().map(|router| Member {
            membership: Membership {
                router: router.id(),
                group: router.config.group.as_deref().and_then(|group| self.numbers.known_group(group)),
            },
            base: router.config.priority.0,
        });
        self.fitness.configure(settings, members.collect());
        self.link_pairs.configure(now, &self.config.links, &self.config.link_pairs);
        self.bandwidth.configure(&self.config, monitored_names(&self.config).into_iter());
        self.read_ports(now);
        self.tell_standings(now)
    }

    fn check_setting(&self, check: &Check) -> Option<CheckSetting> {
        let scope = match &check.scope {
            validated::CheckScope::Node => CheckScope::Node,
            validated::CheckScope::Group(name) => CheckScope::Group(self.numbers.known_group(name)?),
            validated::CheckScope::VirtualRouter(name) => {
                let router = self.routers.iter().find(|router| router.config.name == *name)?;
                CheckScope::Router(router.id())
            }
        };
        Some(CheckSetting { name: check.name.clone(), scope, weight: check.weight })
    }

    /// A check has come to another result.
    pub(super) fn take_check_report(&mut self, now: Instant, report: &CheckReport) {
        let news = self.fitness.check(&report.name, report.state, &report.detail);
        self.tell(now, news);
    }

    /// Reads the state of the pairs' ports from what is known of the interfaces.
    pub(super) fn read_ports(&mut self, now: Instant) {
        self.link_pairs.read_ports(now, &self.interfaces);
        self.settle_pairs(now);
    }

    fn settle_pairs(&mut self, now: Instant) {
        self.fitness.set_links(self.link_pairs.is_up());
        let news = self.link_pairs.news();
        self.tell(now, news);
    }

    /// Once per pass: whatever is due, then the engine hears of what changed.
    pub(super) fn review_fitness(&mut self, now: Instant) -> Result<(), DatapathError> {
        if self.link_pairs.is_look_due(now) {
            self.effects.reread_links(self.link_pairs.ports());
            self.judge_pairs(now)?;
        }
        if self.link_pairs.deadline().is_some_and(|deadline| deadline <= now) {
            self.read_ports(now);
        }
        if self.bandwidth.is_due(now) {
            self.measure_bandwidth(now)?;
        }
        self.tell_standings(now)
    }

    /// When [`Self::review_fitness`] has something to do of its own.
    pub(super) fn fitness_deadline(&self) -> Option<Instant> {
        let all = [self.link_pairs.deadline(), self.fitness.deadline(), self.bandwidth.deadline()];
        all.into_iter().flatten().min()
    }

    /// Standings that changed, to the engine.
    fn tell_standings(&mut self, now: Instant) -> Result<(), DatapathError> {
        let (fitness, engine) = (&mut self.fitness, &self.engine);
        let is_active = |router| engine.view(router).is_some_and(|view| view.role == Role::Active);
        for (router, standing) in fitness.changes(now, is_active) {
            self.engine.handle_input(now, Input::Standing { router, standing });
            self.perform_actions(now)?;
        }
        Ok(())
    }

    fn judge_pairs(&mut self, now: Instant) -> Result<(), DatapathError> {
        for position in 0..self.link_pairs.pairs().len() {
            let Some(pair) = self.link_pairs.pairs().get(position) else { break };
            let serves = self.is_active_on(&pair.inside) || self.is_active_on(&pair.outside);
            let ports = [self.port_traffic(&pair.inside)?, self.port_traffic(&pair.outside)?];
            let [Some(inside), Some(outside)] = ports else { continue };
            self.link_pairs.judge_traffic(now, position, serves, inside, outside);
        }
        self.settle_pairs(now);
        Ok(())
    }

    fn is_active_on(&self, interface: &str) -> bool {
        let here = |id: RouterId| self.engine.view(id).is_some_and(|view| view.role == Role::Active);
        self.routers.iter().any(|router| router.config.interface == interface && here(router.id()))
    }

    /// Packets of a port; what it sent without the adverts of our routers there.
    fn port_traffic(&self, interface: &str) -> Result<Option<PortTraffic>, DatapathError> {
        let known = self.interfaces.by_name(interface);
        let Some(link) = known.and_then(|known| self.attached_link(known.link.ifindex)) else {
            return Ok(None);
        };
        let counters = self.datapath.maps.read_link_counters(link.slot)?;
        let mut adverts = 0;
        for router in self.routers.iter().filter(|router| router.spec.attach_ifindex == link.ifindex) {
            adverts += self.datapath.maps.read_state(router.spec.slot)?.adverts_sent;
        }
        Ok(Some(PortTraffic { rx: counters.rx_packets, tx: counters.tx_packets.saturating_sub(adverts) }))
    }

    fn measure_bandwidth(&mut self, now: Instant) -> Result<(), DatapathError> {
        for link in self.datapath.links() {
            let counters = self.datapath.maps.read_link_counters(link.slot)?;
            self.bandwidth.read(now, link.ifindex, counters);
        }
        let datapath = &self.datapath;
        self.bandwidth.retain(|ifindex| datapath.link(ifindex).is_some());
        if self.bandwidth.has_guards() {
            self.judge_bandwidth(now)?;
        }
        Ok(())
    }

    fn judge_bandwidth(&mut self, now: Instant) -> Result<(), DatapathError> {
        let names = monitored_names(&self.config);
        let index = |name: &str| {
            let ifindex = self.interfaces.by_name(name)?.link.ifindex;
            Some(self.attached_link(ifindex)?.ifindex)
        };
        let ports: Vec<Port<'_>> = names
            .iter()
            .filter_map(|name| {
                let other = self.link_pairs.other_port(name);
                let owner = self.is_active_on(name) || other.is_some_and(|other| self.is_active_on(other));
                Some(Port { name, ifindex: index(name)?, owner, partner: other.and_then(index) })
            })
            .collect();
        let news = self.bandwidth.judge(now, &ports);
        if news.is_empty() {
            return Ok(());
        }
        self.tell(now, news);
        self.engine.handle_input(now, Input::Failover { group: None, cause: Cause::LowBandwidth });
        self.perform_actions(now)
    }

    /// To the journal.
    pub(super) fn tell(&self, now: Instant, news: impl IntoIterator<Item = NoticeEvent>) {
        news.into_iter().for_each(|notice| self.occur(now, Event::Notice(notice)));
    }
}
