//! The cluster as the checker sees it: what can happen next, and what must never be.

use crate::cluster::Cluster;
use crate::faults::Fault;
use crate::settings::Settings;
use holdfast_engine::Role;
use stateright::{Model, Property};

/// What happens between two states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    Tick,
    Strike(Fault),
    Mend(Fault),
}

/// One configuration, with every placement of its faults.
#[derive(Clone, Copy, Debug)]
pub struct ClusterModel {
    pub settings: Settings,
}

/// Names of what must always hold.
pub const ONE_OWNER: &str = "two own who hear each other, no longer than the bound";
pub const SOMEBODY: &str = "nobody owns while a node runs, no longer than the bound";
pub const NO_ACTION_PAST_A_LAPSE: &str =
    "a node whose lease lapsed does not act on what it was granted before";
pub const NO_OWNER_PAST_ITS_LEASE: &str = "a node whose controller stands still owns for a lease at most";
pub const NO_VOUCHING_PAST_THE_LEASE: &str = "vouching holds until the end of the peer's lease at most";
/// Names of what must be possible, or the model would show nothing.
pub const TAKEOVER: &str = "the lesser node takes over";
pub const VOUCHED: &str = "a Backup is held by vouching";
pub const APART: &str = "two own who do not hear each other";
pub const LAPSE: &str = "a lease lapses and its node comes back";
pub const RETURN: &str = "the better node owns again after the last fault";

impl Model for ClusterModel {
    type State = Cluster;
    type Action = Deed;

    fn init_states(&self) -> Vec<Cluster> {
        vec![Cluster::settled(self.settings), Cluster::cold(self.settings)]
    }

    fn actions(&self, state: &Cluster, deeds: &mut Vec<Deed>) {
        deeds.push(Deed::Tick);
        if !state.is_open() {
            return;
        }
        let mendable = state.faults.iter().filter(|fault| !matches!(fault, Fault::Loss { .. }));
        deeds.extend(mendable.map(|fault| Deed::Mend(*fault)));
        deeds.extend(Fault::all().into_iter().filter(|fault| state.admits(*fault)).map(Deed::Strike));
    }

    fn next_state(&self, last: &Cluster, deed: Deed) -> Option<Cluster> {
        let mut state = last.clone();
        match deed {
            Deed::Tick => state.tick(),
            Deed::Strike(fault) => state.strike(fault),
            Deed::Mend(fault) => state.mend(fault),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_OWNER, |_, state: &Cluster| state.several <= state.settings.several_bound()),
            Property::always(SOMEBODY, |_, state: &Cluster| state.nobody <= state.settings.nobody_bound()),
            Property::always(NO_ACTION_PAST_A_LAPSE, |_, state: &Cluster| !state.acts_past_a_lapse()),
            Property::always(NO_OWNER_PAST_ITS_LEASE, |_, state: &Cluster| !state.owns_past_its_lease()),
            Property::always(NO_VOUCHING_PAST_THE_LEASE, |_, state: &Cluster| {
                !state.vouches_past_the_lease()
            }),
            Property::sometimes(TAKEOVER, |_, state: &Cluster| state.nodes[1].owns(state.now)),
            Property::sometimes(VOUCHED, |_, state: &Cluster| state.vouches()),
            Property::sometimes(APART, |_, state: &Cluster| state.owners() > 1 && !state.is_connected()),
            Property::sometimes(LAPSE, |_, state: &Cluster| {
                state.nodes.iter().any(|node| node.lapsed.is_some() && is_active(node))
            }),
            Property::sometimes(RETURN, |_, state: &Cluster| {
                state.faults_left == 0 && state.faults.is_empty() && state.nodes[0].owns(state.now)
            }),
        ]
    }
}

fn is_active(node: &crate::node::Node) -> bool {
    node.view().is_some_and(|view| view.role == Role::Active)
}
