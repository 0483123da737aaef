//! The virtual routers as the controller holds them: configuration, map entry and what was last written for each.

use super::plan;
use crate::config::validated::VirtualRouter;
use crate::datapath::maps::address_from_bytes;
use crate::datapath::ring_reader::{heard_form, interval_span};
use crate::datapath::{RouterSpec, XdpAttachMode};
use crate::effects::adverts::AdvertFrames;
use crate::effects::announcements::AnnouncementFrame;
use crate::effects::frames::{AdvertContent, FrameError, MacAddress, announcement};
use ha_common::maps::values::RouterState;
use holdfast_engine::{Advert, ChecksumForm, Instant, InterfaceId, PolicyWrite, Role, RouterId, Version};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A virtual router at run time.
#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) config: VirtualRouter,
    pub(super) spec: RouterSpec,
    pub(super) interface: InterfaceId,
    /// Interface adverts and announcements leave from; 0 while it does not exist.
    pub(super) ifindex: u32,
    pub(super) mac: MacAddress,
    pub(super) up: bool,
    /// As last written to the policy map.
    pub(super) standing: PolicyWrite,
    pub(super) granted_at: Instant,
    /// See `RouterPolicy::generation`.
    pub(super) generation: u32,
    pub(super) xdp_mode: Option<XdpAttachMode>,
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// Shortest Ethernet frame, without its check sequence (IEEE 802.3).
const SHORTEST_FRAME: usize = 60;

/// Standing of a router that has not started.
pub(super) const INITIAL_STANDING: PolicyWrite = PolicyWrite {
    role: Role::Initialize,
    epoch: 0,
    priority: 0,
    preempt: false,
    checksum: ChecksumForm::Rfc9568,
    form_unknown: false,
};

impl Router {
    pub(super) fn id(&self) -> RouterId {
        RouterId(self.spec.slot)
    }

    pub(super) fn is_unicast(&self) -> bool {
        !self.config.unicast_peers.is_empty()
    }

    /// What its adverts say; `None` while it has no source address.
    fn content(&self) -> Option<AdvertContent> {
        Some(AdvertContent {
            version: self.config.version,
            vrid: self.config.vrid,
            addresses: self.addresses().collect(),
            interval: plan::span(self.config.advertisement_interval),
            source: self.spec.source?,
            checksum: self.standing.checksum,
        })
    }

    /// Source MAC of what it sends (V-012, V-013, V-017).
    pub(super) fn source_mac(&self) -> MacAddress {
        match self.config.virtual_mac {
            true => MacAddress::of_virtual_router(self.config.family, self.config.vrid),
            false => self.mac,
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.config.addresses.iter().map(|vip| vip.address)
    }

    /// Priority of its scheduled adverts: the standing's, unless it is releasing.
    fn advert_priority(&self) -> u8 {
        if self.standing.priority == 0 { self.config.priority.0 } else { self.standing.priority }
    }

    /// Its adverts, ready to send; `None` while it has no source address.
    pub(super) fn advert_frames(&self) -> Option<Result<AdvertFrames, FrameError>> {
        let content = self.content()?;
        let build = |content: &AdvertContent| {
            let peers = &self.config.unicast_peers;
            AdvertFrames::build(content, self.advert_priority(), self.ifindex, self.source_mac(), peers)
        };
        if !self.standing.form_unknown {
            return Some(build(&content));
        }
        let other = AdvertContent {
            checksum: match content.checksum {
                ChecksumForm::Rfc9568 => ChecksumForm::Rfc5798,
                ChecksumForm::Rfc5798 => ChecksumForm::Rfc9568,
            },
            ..content.clone()
        };
        Some(
            build(&content)
                .and_then(|frames| Ok(frames.with_other_form(build(&other)?, self.other_form_every()))),
        )
    }

    /// Adverts in the other form: every third, since a peer that hears them then stays a Backup, and not more than one
    /// a second.
    fn other_form_every(&self) -> u32 {
        let interval = self.config.advertisement_interval.as_nanos().max(1);
        u32::try_from(NANOS_PER_SECOND.div_ceil(interval)).unwrap_or(u32::MAX).max(3)
    }

    /// The frame XDP answers losing adverts with. Unicast routers and VRRPv2 (V-058) have none.
    pub(super) fn answer_template(&self) -> Option<Vec<u8>> {
        if self.is_unicast() || self.config.version == Version::V2 {
            return None;
        }
        let mut frame = self.content()?.multicast_frame(self.advert_priority(), self.source_mac()).ok()?;
        // XDP sends it as it is, and not every driver pads.
        frame.resize(frame.len().max(SHORTEST_FRAME), 0);
        Some(frame)
    }

    /// Gratuitous ARP or unsolicited NA for every address (V-117, V-118).
    pub(super) fn announcements(&self) -> Vec<AnnouncementFrame> {
        let mac = self.source_mac();
        self.addresses()
            .map(|address| AnnouncementFrame { ifindex: self.ifindex, frame: announcement(mac, address) })
            .collect()
    }

    /// The last advert the data plane noted, as an input would have brought it; `None` if it heard none.
    pub(super) fn last_heard(&self, state: &RouterState) -> Option<Advert> {
        let source = address_from_bytes(state.heard_source);
        if source.is_unspecified() {
            return None;
        }
        let version = if self.config.version == Version::V2 { 2 } else { 3 };
        let revoked = state.revoked_epoch != 0 && state.revoked_epoch == self.standing.epoch;
        Some(Advert {
            at: Instant::from_nanos(state.last_advert_ns),
            source,
            priority: state.heard_priority,
            interval: interval_span(version, state.heard_interval),
            checksum: heard_form(state.heard_checksum),
            answered: true,
            addresses_differ: false,
            epoch: if revoked { state.revoked_epoch } else { 0 },
            revoked,
        })
    }
}

/// All of them, by slot.
#[derive(Debug, Default)]
pub(super) struct Routers {
    by_id: BTreeMap<RouterId, Router>,
}

impl Routers {
    pub(super) fn get(&self, id: RouterId) -> Option<&Router> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: RouterId) -> Option<&mut Router> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn insert(&mut self, router: Router) {
        self.by_id.insert(router.id(), router);
    }

    pub(super) fn remove(&mut self, id: RouterId) -> Option<Router> {
        self.by_id.remove(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Router> {
        self.by_id.values()
    }

    pub(super) fn ids(&self) -> Vec<RouterId> {
        self.by_id.keys().copied().collect()
    }
}
