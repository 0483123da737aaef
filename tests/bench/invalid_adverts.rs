//! Adverts that must be discarded, slowly and as a flood, from a host on the LAN: the Active goes on as if nothing were.
//!
//! Each would end the Active's ownership if it were taken for valid. Captures listen to the Active's hardware address
//! alone, so that the flood does not crowd out what is counted.

use crate::flood::{Rate, handed_over, send_until};
use crate::transitions::Transitions;
use crate::trials::{Bed, Findings, Session, every};
use anyhow::Result;
use holdfast_lab::Moment;
use holdfast_lab::adverts::AdvertCapture;
use holdfast_lab::forge::{AdvertSpec, ChecksumForm};
use holdfast_lab::gateway_pair::{GatewayPair, LAN_VRID, Product, priority};
use holdfast_lab::packet_socket::PacketSocket;
use holdfast_lab::topology::{CLIENT, GatewayLab, LAN_VIP, Leg, Side};
use std::time::Duration;

pub(crate) const NAME: &str = "invalid-adverts";
const INTERVAL: Duration = Duration::from_millis(100);
const SLOW: Rate = Rate::PerSecond(20);
const SLOW_SPAN: Duration = Duration::from_secs(2);
const FLOOD_SPAN: Duration = Duration::from_secs(3);
const ACTIVE: Side = Side::A;
/// Time in which both gateways come to rest.
const REST_WITHIN: Duration = Duration::from_secs(15);
/// Time that the last captured frames need to be read.
const READ_TIME: Duration = Duration::from_millis(100);

/// What is wrong with an advert.
struct Kind {
    name: &'static str,
    bend: fn(&mut AdvertSpec),
}

const KINDS: [Kind; 6] = [
    Kind { name: "bad checksum", bend: |advert| advert.checksum = ChecksumForm::Wrong },
    Kind { name: "wrong TTL", bend: |advert| advert.ttl -= 1 },
    Kind { name: "wrong version", bend: |advert| advert.version = 4 },
    Kind { name: "cut short", bend: |advert| advert.truncate = Some(8) },
    Kind { name: "other VRID", bend: |advert| advert.vrid += 100 },
    Kind { name: "wrong type", bend: |advert| advert.kind = 2 },
];

/// A pair at rest, captures of the Active's adverts, and a host that floods. The pair is dropped before the lab.
struct FloodBed {
    /// At the Active's own interface.
    left: AdvertCapture,
    /// At a host.
    seen: AdvertCapture,
    host: PacketSocket,
    pair: GatewayPair,
    lab: GatewayLab,
}

impl FloodBed {
    fn start(product: Product) -> Result<Self> {
        let lab = GatewayLab::build()?;
        let active = PacketSocket::open(lab.gateway(ACTIVE), Leg::Lan.interface())?.mac;
        let left = AdvertCapture::start_from(lab.gateway(ACTIVE), Leg::Lan.interface(), active)?;
        let seen = AdvertCapture::start_from(&lab.client, Leg::Lan.interface(), active)?;
        let host = PacketSocket::open(&lab.client, Leg::Lan.interface())?;
        // It only sends: what comes in would fill its buffer.
        host.only_from(host.mac)?;
        let pair = GatewayPair::start(&lab, product, INTERVAL)?;
        let mut bed = FloodBed { left, seen, host, pair, lab };
        bed.settle()?;
        Ok(bed)
    }

    /// A host's advert that would win every election.
    fn winning_advert(&self) -> AdvertSpec {
        const HIGHEST: u8 = 254;
        AdvertSpec::v3(CLIENT.into(), self.host.mac, LAN_VRID, HIGHEST, &[LAN_VIP.into()])
    }

    fn handed_over(&self) -> Result<u64> {
        handed_over(self.lab.fabric.namespace(), &self.lab.port(ACTIVE, Leg::Lan))
    }
}

impl Bed for FloodBed {
    fn pair(&self) -> &GatewayPair {
        &self.pair
    }

    fn settle(&mut self) -> Result<()> {
        self.pair.wait_active(ACTIVE, REST_WITHIN)
    }
}

pub(crate) fn run(session: &mut Session) {
    let case = every(INTERVAL);
    for product in session.products() {
        session.trials(
            NAME,
            &case,
            product,
            || FloodBed::start(product),
            |bed, findings| {
                for kind in &KINDS {
                    for (rate, span) in [(SLOW, SLOW_SPAN), (Rate::Highest, FLOOD_SPAN)] {
                        let case = format!("{}, {}", kind.name, rate.shown());
                        eprintln!("  {case}");
                        let mut part = Findings::default();
                        attack(bed, product, kind, rate, span, &mut part)?;
                        findings.take_part(&case, part);
                    }
                }
                Ok(())
            },
        );
    }
}

fn attack(
    bed: &mut FloodBed,
    product: Product,
    kind: &Kind,
    rate: Rate,
    span: Duration,
    findings: &mut Findings,
) -> Result<()> {
    bed.settle()?;
    let mut advert = bed.winning_advert();
    (kind.bend)(&mut advert);
    let frame = advert.frame();
    let before = Transitions::mark(&bed.pair)?;
    // Counted from shortly after one advert to half an interval past another: certain whatever the timer's jitter.
    let begin = bed.left.wait_for("an advert of the Active", Moment::now(), REST_WITHIN, |_| true)?.at;
    let (used, arrived, started) =
        (bed.pair.process(ACTIVE).processor_time()?, bed.handed_over()?, Moment::now());
    let sent = send_until(&bed.host, &frame, rate, begin + span);
    let took = started.elapsed();
    let arrived = bed.handed_over()? - arrived;
    let used = bed.pair.process(ACTIVE).processor_time()?.saturating_sub(used);
    let (first, end) = (begin + INTERVAL / 4, begin + span + INTERVAL / 2);
    (end + READ_TIME).sleep_until();
    let expected = (span.as_millis() / INTERVAL.as_millis()) as usize;
    let count = |capture: &AdvertCapture| {
        let ours = capture.since(first).into_iter().filter(|advert| advert.at < end);
        ours.filter(|advert| advert.vrid == LAN_VRID && advert.priority == priority(ACTIVE)).count()
    };
    let (left, seen) = (count(&bed.left), count(&bed.seen));
    findings.add("adverts due", "adverts", expected as f64);
    findings.add("adverts sent by the Active", "adverts", left as f64);
    findings.add("adverts seen by a host", "adverts", seen as f64);
    let mut moved = [0; 2];
    for (side, measure) in
        [(ACTIVE, "transitions of the Active"), (ACTIVE.other(), "transitions of the Backup")]
    {
        moved[side as usize] = before.since(&bed.pair, side)?;
        findings.add(measure, "transitions", moved[side as usize] as f64);
    }
    findings.add("processor of the Active", "%", 100.0 * used.as_secs_f64() / took.as_secs_f64());
    findings.add("invalid adverts sent", "/s", sent as f64 / took.as_secs_f64());
    findings.add("frames that reached the Active", "/s", arrived as f64 / took.as_secs_f64());
    if product == Product::Holdfast {
        findings.demand(left >= expected, || format!("{left} of {expected} adverts left"));
        findings.demand(moved == [0; 2], || format!("transitions of A and B: {moved:?}"));
    }
    Ok(())
}
