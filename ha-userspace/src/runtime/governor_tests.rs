use super::*;
use crate::config::parse;
use crate::runtime::mailbox::mailbox;
use holdfast_engine::Duration;

const ROUTERS: &str = "[flaps]\nmaximum_allowed = 1\nwindow = \"10s\"\n\
    [[virtual_router]]\nname = \"lan\"\ninterface = \"lan0\"\nvrid = 51\naddresses = [\"192.0.2.1/24\"]\ngroup = \"g\"\n\
    [[virtual_router]]\nname = \"wan\"\ninterface = \"wan0\"\nvrid = 52\naddresses = [\"198.51.100.1/24\"]\ngroup = \"g\"\n";
const LAN: RouterId = RouterId(0);
const WAN: RouterId = RouterId(1);

fn at(ms: u64) -> Instant {
    Instant::from_nanos(1_000_000 * (60_000 + ms))
}

fn transition(router: RouterId, from: Role, to: Role, cause: Cause) -> Transition {
    Transition {
        router,
        at: at(0),
        from,
        to,
        cause,
        last_advert_age: None,
        peer: None,
        deadline: None,
        lateness: Duration::ZERO,
    }
}

struct Bench {
    directory: tempfile::TempDir,
    governor: Governor,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let governor = Self::restore(directory.path(), at(0));
        Bench { directory, governor }
    }

    fn restore(state_dir: &Path, now: Instant) -> Governor {
        let config = parse(ROUTERS, "t.toml").unwrap().config;
        let (mailbox, _inbox) = mailbox().unwrap();
        let mut governor = Governor::restore(&config, state_dir, now, &mailbox).unwrap();
        let routers = config.virtual_routers.iter().cloned();
        governor.number(now, &(0..).map(RouterId).zip(routers).collect(), &[]);
        governor
    }

    fn gain(&mut self, ms: u64) -> Option<FlapEvent> {
        let event =
            self.governor.moved(at(ms), &transition(LAN, Role::Backup, Role::Active, Cause::AdvertTimeout));
        let second =
            self.governor.moved(at(ms), &transition(WAN, Role::Backup, Role::Active, Cause::GroupMember));
        assert_eq!(second, None, "one unit");
        self.governor.hand_over(at(ms));
        event
    }

    fn lose(&mut self, ms: u64, cause: Cause) {
        self.governor.moved(at(ms), &transition(LAN, Role::Active, Role::Initialize, cause));
        self.governor.moved(at(ms), &transition(WAN, Role::Active, Role::Backup, Cause::GroupMember));
        self.governor.hand_over(at(ms));
    }
}

#[test]
fn a_group_flaps_once_and_by_the_cause_of_the_member_that_began() {
    let mut bench = Bench::new();
    assert_eq!(bench.gain(0), None);
    bench.lose(10, Cause::FailoverCommand);
    assert_eq!(bench.gain(20), None, "a planned move");
    bench.lose(30, Cause::InterfaceDown);
    assert!(matches!(bench.gain(40), Some(FlapEvent::Counted { flaps: 1, .. })));
    assert_eq!(bench.governor.hold(at(41)), Some(at(1_040)));
    bench.lose(50, Cause::LeaseLapsed);
    assert!(matches!(bench.gain(60), Some(FlapEvent::Latched(_))));
    assert!(bench.governor.unconfirmed.is_some() && !bench.governor.in_force, "not before it is on disk");
    let status = bench.governor.status(at(60));
    assert!(status.latched);
    assert_eq!(status.reason.as_deref(), Some("2 flaps within 10s, 1 allowed"));
}

#[test]
fn a_clean_end_has_lost_nothing_and_a_crash_has() {
    for (planned, flaps) in [(true, 0), (false, 1)] {
        let mut bench = Bench::new();
        bench.gain(0);
        let Bench { directory, governor } = bench;
        governor.end(at(10), planned);
        let mut next = Bench { governor: Bench::restore(directory.path(), at(20)), directory };
        next.gain(30);
        assert_eq!(next.governor.status(at(30)).count, flaps, "planned: {planned}");
        assert!(next.directory.path().exists());
    }
}

#[test]
fn a_latch_of_an_earlier_run_counts_at_once() {
    let mut bench = Bench::new();
    bench.gain(0);
    for ms in [10, 30] {
        bench.lose(ms, Cause::InterfaceDown);
        bench.gain(ms + 10);
    }
    let Bench { directory, governor } = bench;
    governor.end(at(50), false);
    let next = Bench::restore(directory.path(), at(60));
    assert!(next.in_force && next.status(at(60)).latched);
}

#[test]
fn a_router_that_changes_its_unit_takes_its_ownership_along() {
    let mut bench = Bench::new();
    bench.gain(0);
    let alone = ROUTERS.replacen("group = \"g\"\n", "", 1);
    let routers = parse(&alone, "t.toml").unwrap().config.virtual_routers;
    let routers = (0..).map(RouterId).zip(routers).collect();
    bench.governor.number(at(5), &routers, &[LAN, WAN]);
    bench.governor.moved(at(10), &transition(LAN, Role::Active, Role::Initialize, Cause::InterfaceDown));
    let gained =
        bench.governor.moved(at(20), &transition(LAN, Role::Backup, Role::Active, Cause::Preemption));
    assert!(matches!(gained, Some(FlapEvent::Counted { flaps: 1, .. })), "{gained:?}");
}
