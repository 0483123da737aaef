//! A pair of gateways with everything that the figures of this program share: the instruments of a rig, the machine's own
//! stalls, and a gate that takes a node off all its links at one instant.

use crate::trials::Bed;
use anyhow::{Context, Result, ensure};
use holdfast_lab::Moment;
use holdfast_lab::episode::Rig;
use holdfast_lab::gateway_pair::{GatewayPair, Peering, Product};
use holdfast_lab::netns::LabName;
use holdfast_lab::poll::eventually_true;
use holdfast_lab::stalls::StallWatch;
use holdfast_lab::topology::{GatewayLab, LAN_VIP, Leg, Side, WAN_VIP};
use holdfast_lab::xdp_tools::Gate;
use std::time::Duration;

/// The node that is Active and that everything happens to.
pub(crate) const ACTIVE: Side = Side::A;
const HEALTHY_WITHIN: Duration = Duration::from_secs(15);
/// Trials follow each other faster than faults do: the governor is not what is measured.
const PATIENT_GOVERNOR: &str = "[flaps]\nmaximum_allowed = 1000\nwindow = \"1s\"\n";

/// Fields are dropped in order: the pair before its lab, which the rig holds.
pub(crate) struct PeeredBed {
    pub(crate) rig: Rig,
    pub(crate) stalls: StallWatch,
    gate: Gate,
    lost: bool,
}

impl PeeredBed {
    /// A pair at this advertisement interval, A serving. The product's gateways check each other at `check`; keepalived's have
    /// only their adverts.
    pub(crate) fn start(product: Product, interval: Duration, check: Duration) -> Result<Self> {
        let peering = Peering::every(check).with(PATIENT_GOVERNOR);
        let pair = |lab: &GatewayLab| match product {
            Product::Holdfast => GatewayPair::start_peered(lab, interval, &peering),
            Product::Keepalived => GatewayPair::start(lab, product, interval),
        };
        let rig = Rig::start_with(LabName::unique(), interval, pair)?;
        let mut ports = vec![rig.lab.sync_port(ACTIVE)];
        ports.extend(Leg::BOTH.map(|leg| rig.lab.port(ACTIVE, leg)));
        let gate = Gate::attach(rig.lab.fabric.namespace(), &ports)?;
        let mut bed = PeeredBed { rig, stalls: StallWatch::start(), gate, lost: false };
        bed.settle()?;
        Ok(bed)
    }

    /// Takes the Active off all its links, at the instant that is given back. Nothing else runs for `quiet`; then the node
    /// no longer hears either.
    pub(crate) fn lose_active(&mut self, quiet: Duration) -> Result<Moment> {
        self.lost = true;
        let begin = Moment::now();
        self.gate.set_shut(true)?;
        (begin + quiet).sleep_until();
        self.rig.lab.node_silent(ACTIVE)?;
        Ok(begin)
    }

    /// Milliseconds with two answering owners, on the worse leg.
    pub(crate) fn contested(&self, from: Moment, to: Moment) -> usize {
        let contested = |leg: Leg| self.rig.owners(leg).window(from, to).contested;
        Leg::BOTH.map(contested).into_iter().max().unwrap_or_default()
    }

    /// Hosts ask anew who has the gateway's address, so that their traffic goes through A whatever they last heard.
    fn steer_hosts(&self) -> Result<()> {
        let lab = &self.rig.lab;
        lab.client.ip(&format!("neigh flush to {LAN_VIP} dev {}", Leg::Lan.interface()))?;
        lab.server.ip(&format!("neigh flush to {WAN_VIP} dev {}", Leg::Wan.interface()))?;
        Ok(())
    }
}

impl Bed for PeeredBed {
    fn pair(&self) -> &GatewayPair {
        &self.rig.pair
    }

    fn settle(&mut self) -> Result<()> {
        /// What the hosts need to have asked, and the way to be steady.
        const REST: Duration = Duration::from_millis(300);
        if std::mem::take(&mut self.lost) {
            self.gate.set_shut(false)?;
            self.rig.lab.node_restore(ACTIVE)?;
        }
        self.rig.settle(&mut |_| ())?;
        wait_paths_healthy(&self.rig.pair)?;
        self.steer_hosts()?;
        std::thread::sleep(REST);
        ensure!(self.rig.pair.is_active(ACTIVE), "A did not stay Active\n{}", self.rig.pair.log_tails());
        Ok(())
    }
}

/// Waits until both gateways hear each other on every path; keepalived has none.
fn wait_paths_healthy(pair: &GatewayPair) -> Result<()> {
    for daemon in Side::BOTH.into_iter().filter_map(|side| pair.daemon(side)) {
        eventually_true("the peer is healthy on every path", HEALTHY_WITHIN, || {
            daemon.status().is_ok_and(|status| {
                let peer = &status.0["peers"][0];
                let paths = peer["paths"].as_array().map(Vec::as_slice).unwrap_or_default();
                peer["health"] == "healthy" && paths.iter().all(|path| path["health"] == "healthy")
            })
        })
        .with_context(|| pair.log_tails())?;
    }
    Ok(())
}
