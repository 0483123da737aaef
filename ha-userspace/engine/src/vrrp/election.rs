//! Who wins. Pure comparisons of RFC 9568 sections 6.4.2 and 6.4.3; no state, no time.

use crate::action::Cause;
use core::net::IpAddr;

/// Priority of a router that steps down.
pub(crate) const RELEASED: u8 = 0;
/// Priority of the address owner.
pub(crate) const OWNER: u8 = 255;

/// What an advert means to an Active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contest {
    /// The sender steps down (V-102).
    Released,
    /// The sender wins: yield (V-103, V-104).
    Lost(Cause),
    /// We win: stay, and say so (V-105).
    Won,
}

/// An Active judges an advert. Preempt mode is not consulted (V-110); addresses compare unsigned in network byte order
/// (V-108), which is how `IpAddr` orders, and are the adverts' own sources (V-109).
pub(crate) fn contest(own_priority: u8, own_source: Option<IpAddr>, priority: u8, source: IpAddr) -> Contest {
    if priority == RELEASED {
        Contest::Released
    } else if priority > own_priority {
        Contest::Lost(Cause::HigherPriority)
    } else if priority == own_priority && own_source.is_none_or(|own| source > own) {
        Contest::Lost(Cause::TieBreak)
    } else {
        Contest::Won
    }
}

/// What an advert means to a Backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The owner steps down (V-083).
    Released,
    /// The owner is at least our equal, or we never preempt: stay (V-095, V-096, V-097).
    Deferred,
    /// The owner is below us and we preempt (V-098).
    Lower,
}

/// A Backup judges an advert. Equal priority defers whatever the addresses (V-096).
pub(crate) fn standing(own_priority: u8, wants_preemption: bool, priority: u8) -> Standing {
    if priority == RELEASED {
        Standing::Released
    } else if priority < own_priority && wants_preemption {
        Standing::Lower
    } else {
        Standing::Deferred
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn v104_v105_v108_contest_table() {
        let table: &[(u8, &str, u8, &str, Contest)] = &[
            (100, "192.0.2.10", 0, "192.0.2.11", Contest::Released),
            (100, "192.0.2.10", 101, "192.0.2.9", Contest::Lost(Cause::HigherPriority)),
            (100, "192.0.2.10", 100, "192.0.2.11", Contest::Lost(Cause::TieBreak)),
            (100, "192.0.2.10", 100, "192.0.2.9", Contest::Won),
            (100, "192.0.2.10", 99, "192.0.2.11", Contest::Won),
            (100, "10.0.0.1", 100, "200.0.0.1", Contest::Lost(Cause::TieBreak)),
            (100, "200.0.0.1", 100, "10.0.0.1", Contest::Won),
            (100, "fe80::7f", 100, "fe80::80", Contest::Lost(Cause::TieBreak)),
            (100, "fe80::80", 100, "fe80::7f", Contest::Won),
            (0, "192.0.2.10", 0, "192.0.2.11", Contest::Released),
            (0, "192.0.2.10", 1, "192.0.2.9", Contest::Lost(Cause::HigherPriority)),
        ];
        for &(own, own_source, priority, source, expected) in table {
            assert_eq!(
                contest(own, Some(ip(own_source)), priority, ip(source)),
                expected,
                "{own} {own_source} against {priority} {source}"
            );
        }
    }

    #[test]
    fn v095_v096_v097_v098_standing_table() {
        let table: &[(u8, bool, u8, Standing)] = &[
            (100, true, 0, Standing::Released),
            (100, false, 0, Standing::Released),
            (100, true, 101, Standing::Deferred),
            (100, true, 100, Standing::Deferred),
            (100, true, 99, Standing::Lower),
            (100, false, 99, Standing::Deferred),
        ];
        for &(own, preempt, priority, expected) in table {
            assert_eq!(standing(own, preempt, priority), expected, "{own} {preempt} {priority}");
        }
    }
}
