//! What can go wrong, and what mends it.

/// A node, by its number.
pub type Place = usize;

/// The other of two nodes.
pub const fn other(node: Place) -> Place {
    1 - node
}

/// The paths between the nodes: the segment and the sync link.
pub const LAN: usize = 0;
pub const SYNC: usize = 1;
pub const PATHS: usize = 2;

/// A disturbance. Each lasts until it is mended, at whatever moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The controller stands still; its data plane goes on under the lease it has.
    Pause(Place),
    /// The node is gone, data plane and all.
    Crash(Place),
    /// Nothing passes from this node to the other on a path.
    Cut { path: usize, from: Place },
    /// Nothing passes from either to the other on a path.
    CutBoth { path: usize },
    /// Adverts of this node are lost, probes pass: a dead sender, or a switch that drops the group.
    AdvertsLost(Place),
    /// Everything from this node to the other is lost on a path, for one step of time. Nothing mends it: it is over.
    Loss { path: usize, from: Place },
}

impl Fault {
    /// Every fault.
    pub fn all() -> Vec<Fault> {
        let mut all = Vec::new();
        for node in 0..2 {
            all.extend([Fault::Pause(node), Fault::Crash(node), Fault::AdvertsLost(node)]);
            for path in 0..PATHS {
                all.extend([Fault::Cut { path, from: node }, Fault::Loss { path, from: node }]);
            }
        }
        all.extend((0..PATHS).map(|path| Fault::CutBoth { path }));
        all
    }

    /// Whether frames from `sender` are lost on `path` because of it.
    pub fn cuts(self, way: usize, sender: Place) -> bool {
        match self {
            Fault::Cut { path, from } | Fault::Loss { path, from } => path == way && from == sender,
            Fault::CutBoth { path } => path == way,
            Fault::Pause(_) | Fault::Crash(_) | Fault::AdvertsLost(_) => false,
        }
    }

    /// Whether it is about the node itself.
    pub fn strikes(self, node: Place) -> bool {
        matches!(self, Fault::Pause(struck) | Fault::Crash(struck) if struck == node)
    }
}
