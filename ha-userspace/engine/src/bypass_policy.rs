//! When a link pair is in bypass, and in which order that comes about: the virtual routers stand down, the ports are joined;
//! the ports are parted and read back so, the links are good again, the virtual routers stand up.
//!
//! Told of the flap latch, of the operator's orders, of peers that forward beside this node, and of what the drivers read
//! back. It knows pairs by name, touches no hardware and no router: [`BypassPolicy::next`] says what is to be done.

use crate::action::Cause;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassSettings {
    /// Names of the link pairs; none where no driver is configured.
    pub pairs: Vec<String>,
    /// This node is the one that goes into bypass when it latches.
    pub is_primary: bool,
}

/// The two positions of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BypassSwitch {
    Engage,
    Release,
}

/// Where a pair stands, as read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    Engaged,
    Released,
    Unknown,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BypassAction {
    /// Give every virtual router up, then call [`BypassPolicy::stood_down`].
    StandDown(Cause),
    /// Give the driver an order, then call [`BypassPolicy::read_back`] with what came of it.
    Order { pair: String, switch: BypassSwitch },
    /// Let the virtual routers take part again.
    StandUp,
}

/// Why an order of the operator cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoDriver,
    UnknownPair,
    /// A peer forwards beside this node: the wire would close a loop.
    PeerForwards,
}

/// An order of the operator that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub pairs: Vec<String>,
    /// Nothing of the flap latch is left: it is to be released.
    pub ends_latch: bool,
}

/// Whether the virtual routers take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is known of the hardware yet.
    Starting,
    Up,
    GoingDown,
    Down,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pair {
    /// The operator engaged it.
    by_hand: bool,
    /// The operator released it although the latch wants it engaged.
    spared: bool,
    ordered: Option<BypassSwitch>,
    /// Since the last order.
    position: Option<Position>,
    /// It was ordered engaged, and not read back as released since.
    may_be_engaged: bool,
}

/// The bypass of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BypassPolicy {
    pairs: BTreeMap<String, Pair>,
    is_primary: bool,
    is_latched: bool,
    /// A wire would lie beside a peer that forwards.
    is_barred: bool,
    /// No pair could be engaged for the latch.
    is_in_vain: bool,
    phase: Phase,
    /// Links must be good before the routers stand up: something was engaged.
    recovers: bool,
}

impl BypassPolicy {
    /// With pairs, the virtual routers stay down until every pair has been read back: an earlier run may have left one
    /// engaged.
    pub fn new(settings: BypassSettings) -> Self {
        let phase = if settings.pairs.is_empty() { Phase::Up } else { Phase::Starting };
        let mut policy = Self {
            pairs: BTreeMap::new(),
            is_primary: false,
            is_latched: false,
            is_barred: false,
            is_in_vain: false,
            phase,
            recovers: false,
        };
        policy.reconfigure(settings);
        policy
    }

    /// Other settings, at a reload. Every pair is ordered anew.
    pub fn reconfigure(&mut self, settings: BypassSettings) {
        self.is_primary = settings.is_primary;
        self.is_in_vain = false;
        self.pairs = settings
            .pairs
            .into_iter()
            .map(|name| {
                let known = self.pairs.remove(&name).unwrap_or_default();
                (name, Pair { ordered: None, position: None, ..known })
            })
            .collect();
    }

    /// The flap latch is in force, or is not any more.
    pub fn set_latched(&mut self, is_latched: bool) {
        self.is_latched = is_latched;
        self.is_in_vain = false;
        if !is_latched {
            self.pairs.values_mut().for_each(|pair| pair.spared = false);
        }
    }

    /// Whether a wire would lie beside a peer that forwards. While it would, nothing is engaged, and what was engaged
    /// by hand is forgotten. True if that ended something.
    pub fn set_barred(&mut self, is_barred: bool) -> bool {
        let ends = is_barred && !self.is_barred && !self.wanted().is_empty();
        self.is_barred = is_barred;
        if is_barred {
            self.pairs.values_mut().for_each(|pair| pair.by_hand = false);
        }
        ends
    }

    /// The operator wants a pair, or all, engaged or released.
    pub fn order(&mut self, switch: BypassSwitch, pair: Option<&str>) -> Result<Taken, Refusal> {
        let latch_only =
            self.pairs.is_empty() && self.is_latched && switch == BypassSwitch::Release && pair.is_none();
        if latch_only {
            return Ok(Taken { pairs: Vec::new(), ends_latch: true });
        }
        if self.pairs.is_empty() {
            return Err(Refusal::NoDriver);
        }
        if pair.is_some_and(|name| !self.pairs.contains_key(name)) {
            return Err(Refusal::UnknownPair);
        }
        if switch == BypassSwitch::Engage && self.is_barred {
            return Err(Refusal::PeerForwards);
        }
        let mut pairs = Vec::new();
        for (name, state) in &mut self.pairs {
            if pair.is_some_and(|wanted| wanted != name) {
                continue;
            }
            state.by_hand = switch == BypassSwitch::Engage;
            state.spared = self.is_latched && switch == BypassSwitch::Release;
            let settled = state.position == Some(switch.position());
            if state.ordered == Some(switch) && !settled {
                // Given up, or under way: the operator wants it tried again.
                state.ordered = None;
            }
            pairs.push(name.clone());
        }
        let ends_latch = self.is_latched && self.pairs.values().all(|pair| pair.spared);
        Ok(Taken { pairs, ends_latch })
    }

    /// Nothing is owned any more and no virtual address is left.
    pub fn stood_down(&mut self) {
        if self.phase == Phase::GoingDown {
            self.phase = Phase::Down;
        }
    }

    /// A driver has read a pair back, after an order or without one.
    pub fn read_back(&mut self, pair: &str, ordered: BypassSwitch, position: Position) {
        let Some(pair) = self.pairs.get_mut(pair) else { return };
        if position == Position::Released {
            pair.may_be_engaged &= pair.ordered == Some(BypassSwitch::Engage);
        }
        if pair.ordered == Some(ordered) {
            pair.position = Some(position);
        }
    }

    /// What is to be done next; call it until there is nothing. `links_good`: the links are as good as the configuration
    /// asks for.
    pub fn next(&mut self, links_good: bool) -> Option<BypassAction> {
        let cause = if self.bypasses_for_latch() { Cause::FlapLatch } else { Cause::BypassCommand };
        match self.phase {
            Phase::Starting => {
                self.phase = Phase::GoingDown;
                Some(BypassAction::StandDown(cause))
            }
            Phase::Up => match self.next_order(false) {
                None if !self.wanted().is_empty() => {
                    self.phase = Phase::GoingDown;
                    Some(BypassAction::StandDown(cause))
                }
                order => order,
            },
            Phase::GoingDown => None,
            Phase::Down => self.next_order(true).or_else(|| self.stand_up(links_good)),
        }
    }

    fn next_order(&mut self, may_engage: bool) -> Option<BypassAction> {
        let wanted = self.wanted();
        for (name, pair) in &mut self.pairs {
            let switch = if wanted.contains(name) { BypassSwitch::Engage } else { BypassSwitch::Release };
            if pair.ordered == Some(switch) || (switch == BypassSwitch::Engage && !may_engage) {
                continue;
            }
            pair.ordered = Some(switch);
            pair.position = None;
            pair.may_be_engaged |= switch == BypassSwitch::Engage;
            self.recovers |= switch == BypassSwitch::Engage;
            return Some(BypassAction::Order { pair: name.clone(), switch });
        }
        None
    }

    fn stand_up(&mut self, links_good: bool) -> Option<BypassAction> {
        // One that was never engaged here and cannot be read must not keep the node out for ever.
        let is_free = |pair: &Pair| match pair.position {
            Some(Position::Released) => true,
            Some(Position::Unknown) => !pair.may_be_engaged,
            Some(Position::Engaged) | None => false,
        };
        let may =
            self.wanted().is_empty() && self.pairs.values().all(is_free) && (links_good || !self.recovers);
        may.then(|| {
            self.phase = Phase::Up;
            self.recovers = false;
            BypassAction::StandUp
        })
    }

    /// Names of the pairs that are to be engaged.
    pub fn wanted(&self) -> Vec<String> {
        let latch = self.bypasses_for_latch();
        let engaged = |pair: &Pair| !self.is_barred && (pair.by_hand || (latch && !pair.spared));
        self.pairs.iter().filter(|(_, pair)| engaged(pair)).map(|(name, _)| name.clone()).collect()
    }

    /// What the operator or the latch last wanted of a pair, and where it stands since the order; `None` before.
    pub fn position(&self, pair: &str) -> Option<(BypassSwitch, Option<Position>)> {
        let pair = self.pairs.get(pair)?;
        Some((pair.ordered?, pair.position))
    }

    /// The latch is answered by bypass rather than by running at the lowest priority.
    pub fn bypasses_for_latch(&self) -> bool {
        let may = self.is_primary && !self.pairs.is_empty() && !self.is_barred;
        self.is_latched && may && !self.is_in_vain
    }

    /// Every pair was ordered engaged for the latch, and none is.
    pub fn engages_in_vain(&self) -> bool {
        let failed = |pair: &Pair| {
            let elsewhere = pair.position.is_some_and(|position| position != Position::Engaged);
            pair.ordered == Some(BypassSwitch::Engage) && elsewhere
        };
        self.bypasses_for_latch() && self.pairs.values().all(failed)
    }

    /// Answers this latch without bypass: a node that serves at the lowest priority is better than none, and no wire.
    pub fn give_up(&mut self) {
        self.is_in_vain = true;
    }

    /// The latch is in force and the node has no bypass to go into: it is only unfit.
    pub fn is_latched_without_bypass(&self) -> bool {
        self.is_latched && !self.bypasses_for_latch()
    }

    /// The virtual routers take part.
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// Released everywhere and waiting for the links.
    pub fn waits_for_links(&self, links_good: bool) -> bool {
        self.phase == Phase::Down && self.wanted().is_empty() && self.recovers && !links_good
    }
}

impl BypassSwitch {
    /// Where it leads.
    pub fn position(self) -> Position {
        match self {
            BypassSwitch::Engage => Position::Engaged,
            BypassSwitch::Release => Position::Released,
        }
    }
}

#[cfg(test)]
#[path = "bypass_policy_tests.rs"]
mod tests;
