//! The main thread: control socket, signals, service manager. Normal priority; nothing here is in a packet's way.

use super::mailbox::Mailbox;
use super::requests::{Command, OrderDesk, read_for_reload};
use crate::config::validated::Config;
use crate::control::server::{bind, serve as serve_clients};
use crate::control::systemd::{Notification, ServiceManager};
use crate::journal::EventFeed;
use anyhow::{Context, Result};
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

const SOCKET: &str = "control.sock";

/// Serves clients and signals until the controller has ended.
pub(super) fn serve(
    config: &Config,
    config_path: &Path,
    mailbox: &Mailbox<Command>,
    feed: EventFeed,
    ended: oneshot::Receiver<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let socket = config.node.run_dir.join(SOCKET);
    let served = runtime.block_on(async {
        let listener = bind(&socket).with_context(|| format!("listening on {}", socket.display()))?;
        tokio::spawn(serve_clients(listener, OrderDesk(mailbox.clone()), feed));
        let manager = ServiceManager::from_environment();
        manager.notify(&Notification::Ready);
        tracing::info!(socket = %socket.display(), "serving");
        watch_signals(config_path, mailbox, &manager, ended).await
    });
    let _ = std::fs::remove_file(&socket);
    served
}

async fn watch_signals(
    config_path: &Path,
    mailbox: &Mailbox<Command>,
    manager: &ServiceManager,
    mut ended: oneshot::Receiver<()>,
) -> Result<()> {
    let (mut terminate, mut interrupt, mut hang_up) = signals()?;
    loop {
        tokio::select! {
            _ = &mut ended => return Ok(()),
            _ = terminate.recv() => stop(mailbox, manager),
            _ = interrupt.recv() => stop(mailbox, manager),
            _ = hang_up.recv() => {
                manager.notify(&Notification::Reloading);
                let (path, mailbox) = (config_path.to_owned(), mailbox.clone());
                let (reply, answer) = oneshot::channel();
                tokio::task::spawn_blocking(move || read_for_reload(&path, &mailbox, Some(reply)));
                let _ = answer.await;
                manager.notify(&Notification::Ready);
            }
        }
    }
}

fn stop(mailbox: &Mailbox<Command>, manager: &ServiceManager) {
    manager.notify(&Notification::Stopping);
    mailbox.send(Command::Shutdown);
}

fn signals() -> Result<(Signal, Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?))
}
