//! The one interpreter of the engine's actions.

use super::controller::{Controller, Stopping};
use super::requests::Command;
use super::routers::Router;
use crate::config::validated::Fence;
use crate::datapath::DatapathError;
use crate::effects::adverts::AdvertKind;
use crate::effects::announcements::DEFAULT_ROUNDS;
use crate::journal::{Event, Names, Occurrence, explain};
use ha_common::maps::values::{Head, LinkPolicy};
use holdfast_engine::{Action, Instant, PolicyWrite, Role, RouterId, Transition};
use std::time::{Duration, SystemTime};

/// Longest wait for a priority-0 advert to leave: the advert thread has the higher priority and nothing to wait for.
const LONGEST_RELEASE: Duration = Duration::from_millis(5);

impl Controller {
    /// Carries out everything the engine has decided so far, in its order.
    pub(super) fn perform_actions(&mut self, now: Instant) -> Result<(), DatapathError> {
        while let Some(action) = self.engine.poll_action() {
            self.perform(now, action)?;
        }
        self.say_standing()
    }

    fn perform(&mut self, now: Instant, action: Action) -> Result<(), DatapathError> {
        match action {
            Action::WritePolicy { router, policy } => {
                self.write_policy(now, router, policy)?;
                self.peers.touch();
            }
            Action::StartAdverts { router, interval } => {
                self.say_standing()?;
                self.adverts.start(router, interval);
            }
            Action::StopAdverts { router } => self.adverts.stop(router),
            Action::SendAdvert { router, priority } => {
                self.say_standing()?;
                let kind = if priority == 0 { AdvertKind::PriorityZero } else { AdvertKind::Normal };
                self.adverts.send_once(router, kind);
                self.releasing |= priority == 0;
            }
            Action::AddAddresses { router } => self.effects.add_addresses(router),
            Action::PrepareAddresses { router } if self.config.ha.fence != Fence::None => {
                self.effects.add_addresses(router);
            }
            Action::PrepareAddresses { .. } => {}
            Action::RemoveAddresses { router } => {
                self.bypassing.note_leaving(router);
                self.effects.remove_addresses(router);
            }
            Action::Announce { router } => {
                if let Some(state) = self.routers.get(router) {
                    self.adverts.announce(router, state.announcements(), DEFAULT_ROUNDS);
                }
            }
            Action::Record(transition) => {
                self.peers.touch();
                self.record(now, &transition);
            }
            Action::Notify(notice) => {
                self.peers.touch();
                self.occur(now, Event::from_notice(&notice, &self.names()));
            }
            Action::Stopped => self.flush_effects(),
            Action::TrustPeer { peer, plain } => self.trust_peer(peer, plain)?,
            Action::ProbeNow { peer: _ } => self.probes.announce_now(),
            Action::StoodDown => self.stood_down(now),
        }
        Ok(())
    }

    fn write_policy(&mut self, now: Instant, id: RouterId, policy: PolicyWrite) -> Result<(), DatapathError> {
        let Some(router) = self.routers.get_mut(id) else { return Ok(()) };
        // A priority 0 must have passed the egress program before the fence closes behind it.
        if std::mem::take(&mut self.releasing) && !self.adverts.settle(LONGEST_RELEASE) {
            tracing::warn!(
                router = router.config.name,
                "its priority-0 advert is late and may be stopped by the fence"
            );
        }
        let before = router.standing;
        if policy.epoch != 0 && policy.epoch != before.epoch {
            router.granted_at = now;
        }
        if (before.role, before.preempt) != (policy.role, policy.preempt) {
            router.generation = router.generation.wrapping_add(1);
        }
        router.standing = policy;
        let said = |policy: &PolicyWrite| (policy.priority, policy.checksum, policy.form_unknown);
        if said(&before) != said(&policy) {
            refresh_frames(router, &mut self.adverts, &mut self.datapath.maps)?;
        }
        self.datapath.maps.write_policy(
            &router.spec,
            &policy,
            router.granted_at.as_nanos(),
            router.generation,
        )?;
        let link = router.spec.attach_ifindex;
        if (before.role == Role::Active) != (policy.role == Role::Active) {
            self.write_link_policy(link)?;
            self.fitness.role_changed();
        }
        Ok(())
    }

    /// Rebuilds a router's adverts and its answer template after a change of source, MAC, priority or content.
    pub(super) fn refresh_router(&mut self, id: RouterId) -> Result<(), DatapathError> {
        let Some(router) = self.routers.get_mut(id) else { return Ok(()) };
        refresh_frames(router, &mut self.adverts, &mut self.datapath.maps)?;
        self.datapath.maps.write_policy(
            &router.spec,
            &router.standing,
            router.granted_at.as_nanos(),
            router.generation,
        )
    }

    /// Tells the data plane how many routers live on an interface and how many are ours.
    pub(super) fn write_link_policy(&mut self, ifindex: u32) -> Result<(), DatapathError> {
        let Some(link) = self.datapath.link(ifindex) else { return Ok(()) };
        let slot = link.slot;
        let here = || self.routers.iter().filter(|router| router.spec.attach_ifindex == ifindex);
        let policy = LinkPolicy {
            head: Head::of::<LinkPolicy>(),
            ifindex,
            routers: here().count() as u32,
            owned: here().filter(|router| router.standing.role == Role::Active).count() as u32,
            mac: self.interfaces.by_index(ifindex).map(|found| found.link.mac.0).unwrap_or_default(),
            reserved: [0; 2],
        };
        self.datapath.maps.write_link(slot, policy)
    }

    fn record(&mut self, now: Instant, transition: &Transition) {
        let event = Event::from_transition(transition, &self.names());
        self.occur(now, event);
        self.note_flap(now, transition);
    }

    pub(super) fn occur(&self, now: Instant, event: Event) {
        tracing::info!("{}", explain::line(&event));
        self.record_event(now, event);
    }

    /// To the journal alone, for what the log says in its own way.
    pub(super) fn record_event(&self, now: Instant, event: Event) {
        // The journal's thread ends only after this one.
        let _ = self.journal.send(Occurrence { at: SystemTime::now(), boot_ns: now.as_nanos(), event });
    }

    /// Everything is released: have the effects thread remove what stands, and come back when it has.
    pub(super) fn flush_effects(&mut self) {
        self.stopping = Stopping::Flushing;
        let own = self.own_mailbox.clone();
        self.effects.remove_all(move |left| {
            own.send(Command::EffectsRemoved(left));
        });
    }

    pub(super) fn names(&self) -> Names {
        Names {
            routers: self.routers.iter().map(|router| (router.id(), router.config.name.clone())).collect(),
            groups: self.numbers.group_names(),
            peers: self.peer_names(),
        }
    }
}

fn refresh_frames(
    router: &mut Router,
    adverts: &mut crate::effects::adverts::AdvertSender,
    maps: &mut crate::datapath::MapSet,
) -> Result<(), DatapathError> {
    match router.advert_frames() {
        Some(Ok(frames)) => adverts.configure(router.id(), frames),
        Some(Err(error)) => {
            tracing::error!(router = router.config.name, "its adverts cannot be built: {error}")
        }
        None => {}
    }
    maps.write_template(router.spec.slot, router.answer_template().as_deref())
}
