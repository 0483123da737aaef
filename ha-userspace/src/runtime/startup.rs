//! Builds the daemon from its parts, in an order in which nothing stands that nobody answers for, and takes it down.
//!
//! Start: locks, then what a dead daemon left (addresses first, programs last), then the data plane, then the threads.
//! Stop: addresses, then programs. A failure on the way undoes what was done before it.

use super::bypassing::{port_pairs, report_sink, wire_maps};
use super::controller::{Controller, Parts};
use super::governor::Governor;
use super::instance::Instance;
use super::mailbox::{Inbox, Mailbox, mailbox};
use super::maintenance;
use super::peers::Credentials;
use super::realtime::{self, RealtimePriority};
use super::requests::Command;
use super::{clock, server};
use crate::bypass::Bypass;
use crate::checks::CheckRunner;
use crate::config::Loaded;
use crate::config::validated::{Config, Node};
use crate::datapath::Datapath;
use crate::effects::adverts::{AdvertOptions, AdvertSender};
use crate::effects::clean_up::{self, CleanUpReport};
use crate::effects::executor::{Effects, EffectsOptions};
use crate::journal::{EventFeed, Journal, Occurrence};
use crate::probes::incarnation::Incarnation;
use crate::probes::sender::{ProbeOptions, ProbeSender};
use anyhow::{Context, Result, anyhow};
use std::path::Path;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

const CONTROLLER_THREAD: &str = "hf-control";
const JOURNAL_THREAD: &str = "hf-journal";

/// Runs the daemon until it is told to stop. Fails if it cannot start or cannot go on.
pub fn run(loaded: Loaded, config_path: &Path) -> Result<()> {
    let config = loaded.config;
    let instance = Instance::claim(&config.node)?;
    if let Err(error) = realtime::lock_memory() {
        tracing::warn!("{}", realtime::lock_memory_warning(&error));
    }
    let (mailbox, inbox) = mailbox().context("creating the controller's queue")?;
    let parts = build_parts(&config, config_path, instance, &mailbox)?;
    let feed = parts.feed.clone();
    let (ending, ended) = oneshot::channel();
    let thread = start_controller(Controller::new(parts), inbox, ending)?;
    let served = server::serve(&config, config_path, &mailbox, feed, ended);
    let ended = thread.join().map_err(|_| {
        anyhow!(
            "the controller panicked; its lease lapses and its programs go on fencing until the next start"
        )
    })?;
    served.and(ended)
}

/// Removes what a dead daemon left: addresses first, programs and pins last. Refuses while one runs. Returns what was
/// done, as sentences.
pub fn unload(node: &Node) -> Result<Vec<String>> {
    let instance = Instance::claim(node)?;
    let report = clean_up::clean_up_blocking(&node.state_dir).context("removing left addresses")?;
    let pins = Datapath::clear_left(&instance.pins).context("removing pinned programs and maps")?;
    instance.pins.remove()?;
    let mut done: Vec<String> = Vec::new();
    done.extend(report.addresses.iter().map(|address| format!("removed the address {address}")));
    done.extend(report.macvlans.iter().map(|macvlan| format!("removed the macvlan {macvlan}")));
    done.extend(report.sysctls.iter().map(|setting| format!("restored {setting}")));
    if pins > 0 {
        done.push(format!("detached the data plane and removed {pins} pins from {}", node.bpf_dir.display()));
    }
    Ok(done)
}

/// Starts every part but the controller itself.
fn build_parts(
    config: &Config,
    config_path: &Path,
    instance: Instance,
    mailbox: &Mailbox<Command>,
) -> Result<Parts> {
    let (outcomes, links) = (mailbox.clone(), mailbox.clone());
    let effects = Effects::spawn(EffectsOptions {
        priority: RealtimePriority::EFFECTS,
        state_dir: config.node.state_dir.clone(),
        outcomes: Box::new(move |outcome| {
            outcomes.send(Command::Effect(outcome));
        }),
        links: Box::new(move |event| {
            links.send(Command::Link(event));
        }),
    })?;
    report_left_behind(effects.left_behind());
    let Instance { run_lock, pins } = instance;
    let left = Datapath::clear_left(&pins)?;
    if left > 0 {
        tracing::warn!("removed {left} pins that an earlier daemon left");
    }
    let adverts = AdvertSender::spawn(AdvertOptions::default()).context(
        "starting the advert thread: run as root or with CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW and CAP_PERFMON",
    )?;
    if let Some(warning) = adverts.scheduling().warning() {
        tracing::warn!("{warning}");
    }
    let (journal, feed) = start_journal(&config.node.state_dir)?;
    let credentials = Credentials::read(config)?;
    let incarnation = count_start(config)?;
    let (mut datapath, ring) = Datapath::load(pins)?;
    let governor = Governor::restore(config, &config.node.state_dir, clock::now(), mailbox)
        .context("starting the thread that keeps the flap record")?;
    let maps = wire_maps(config, &mut datapath);
    let bypass =
        Bypass::spawn(&config.bypass, &port_pairs(&config.link_pairs), maps, report_sink(mailbox.clone()))?;
    let verdicts = mailbox.clone();
    let probes = ProbeSender::spawn(ProbeOptions {
        priority: RealtimePriority::PROBES,
        seed: incarnation,
        readings: Box::new(datapath.maps.probe_readings()?),
        sink: Box::new(move |event| {
            verdicts.send(Command::Probe(event));
        }),
    })
    .context("starting the probe thread")?;
    let reports = mailbox.clone();
    let sink = move |report| {
        reports.send(Command::Check(report));
    };
    let checks = CheckRunner::spawn(&config.checks, Box::new(sink)).context("starting the checks")?;
    Ok(Parts {
        config: config.clone(),
        config_path: config_path.into(),
        datapath,
        ring,
        adverts,
        effects,
        checks,
        maintenance: maintenance::left_on(&config.node.state_dir),
        journal,
        feed,
        own_mailbox: mailbox.clone(),
        probes,
        incarnation,
        credentials,
        governor,
        bypass,
        run_lock,
    })
}

/// Numbers this start for the peers. Without peers it may fail: they can then not be added by a reload.
fn count_start(config: &Config) -> Result<u64> {
    match Incarnation::begin(&config.node.state_dir) {
        Ok(incarnation) => {
            if let Some(warning) = incarnation.warning {
                tracing::warn!("{warning}");
            }
            Ok(incarnation.value)
        }
        Err(error) if config.peers.is_empty() => {
            tracing::debug!("{error}");
            Ok(0)
        }
        Err(error) => Err(error.into()),
    }
}

fn start_journal(state_dir: &Path) -> Result<(Sender<Occurrence>, EventFeed)> {
    let (sender, occurrences) = channel();
    let journal = Journal::open(state_dir);
    let feed = journal.feed();
    std::thread::Builder::new().name(JOURNAL_THREAD.into()).spawn(move || journal.run(&occurrences))?;
    Ok((sender, feed))
}

/// Starts the controller's thread and waits until it has taken up the configuration or refused.
fn start_controller(
    mut controller: Controller,
    inbox: Inbox<Command>,
    ending: oneshot::Sender<()>,
) -> Result<JoinHandle<Result<()>>> {
    let (report, reported) = sync_channel(1);
    let thread = std::thread::Builder::new().name(CONTROLLER_THREAD.into()).spawn(move || {
        let _ = nix::sys::signal::SigSet::all().thread_block();
        let _ = realtime::enter_realtime(RealtimePriority::CONTROLLER);
        let prepared = controller.prepare(&inbox);
        let ready = prepared.is_ok();
        let _ = report.send(prepared);
        // Dropped when this thread ends, however it ends: the main thread stops serving.
        let _ending = ending;
        let ended = if ready { controller.run(&inbox) } else { Ok(()) };
        if let Err(error) = &ended {
            tracing::error!("the data plane failed: {error}; leaving every role");
        }
        Ok(controller.take_down(&inbox).and(ended)?)
    })?;
    match reported.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => {
            let _ = thread.join();
            Err(error.into())
        }
        Err(_) => Err(anyhow!("the controller ended while starting")),
    }
}

fn report_left_behind(report: &CleanUpReport) {
    if !report.is_empty() {
        tracing::warn!(
            addresses = ?report.addresses,
            macvlans = ?report.macvlans,
            "removed what an earlier daemon left on the interfaces"
        );
    }
}
