//! A new configuration: what stays keeps its state, what changed takes effect in place, what is gone gives up at once.

use crate::config::{EngineConfig, RouterConfig, RouterId};
use crate::engine::Engine;
use crate::groups::Groups;
use crate::time::Instant;
use crate::vrrp::Router;
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// Not heeded once a graceful stop has begun.
    pub(crate) fn configure(&mut self, now: Instant, config: EngineConfig) {
        if self.is_stopping() {
            return;
        }
        self.configure_peers(now, &config);
        let next: BTreeMap<RouterId, RouterConfig> =
            config.routers.into_iter().map(|router| (router.id, router)).collect();
        self.retire_missing(now, &next);
        for (id, config) in next {
            match self.touch(id) {
                Some((router, out)) => router.reconfigure(now, config, out),
                None => self.insert(Router::new(config)),
            }
        }
        self.groups = Groups::of(self.roster());
        let ids: Vec<RouterId> = self.roster().map(|router| router.config.id).collect();
        for id in ids {
            self.try_start(now, id);
        }
        // A member that kept its group waiting may be gone.
        let groups: BTreeSet<_> = self.groups.all().into_iter().collect();
        self.decide_groups(now, &groups);
        self.promote_ungrouped(now);
    }

    /// What rests on a peer that is gone ends; new ones have proven nothing yet.
    fn configure_peers(&mut self, now: Instant, config: &EngineConfig) {
        self.peers.configure(&config.peers, config.peer_check, config.takeover);
        for id in &config.peers {
            self.review_trust(now, *id);
        }
        self.peer_found(|lost| !config.peers.contains(&lost));
        let ids: Vec<RouterId> = self.roster().map(|router| router.config.id).collect();
        for id in ids {
            if let Some((router, _)) = self.touch(id) {
                router.pending.retain_peers(|peer| config.peers.contains(&peer));
            }
        }
    }

    /// Another interface, version or family under an old id is another router.
    fn retire_missing(&mut self, now: Instant, next: &BTreeMap<RouterId, RouterConfig>) {
        let gone: Vec<RouterId> = self
            .roster()
            .filter(|router| {
                next.get(&router.config.id).is_none_or(|config| !router.config.is_same_router(config))
            })
            .map(|router| router.config.id)
            .collect();
        for id in gone {
            if let Some(mut router) = self.remove(id) {
                router.retire(now, &mut self.out);
            }
        }
    }
}
