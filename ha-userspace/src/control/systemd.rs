//! Tells the service manager how things stand (sd_notify). Does nothing where none asked for it.
//!
//! Input is `NOTIFY_SOCKET` from the environment. A message that cannot be sent is lost, never waited for.

use nix::time::{ClockId, clock_gettime};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A way to the service manager, or none.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

/// What the service manager is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification<'a> {
    /// The daemon serves (also after a reload).
    Ready,
    /// A reload has begun.
    Reloading,
    /// A graceful stop has begun.
    Stopping,
    /// One line for `systemctl status`.
    Status(&'a str),
    /// Sign of life for the watchdog.
    Watchdog,
}

impl ServiceManager {
    /// As the environment says. An address that cannot be used is none.
    pub fn from_environment() -> Self {
        Self::at(std::env::var_os("NOTIFY_SOCKET"))
    }

    fn at(address: Option<OsString>) -> Self {
        let socket = address.filter(|address| !address.is_empty()).and_then(|address| match open(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, ?address, "NOTIFY_SOCKET cannot be used; the service manager is not told");
                None
            }
        });
        Self { socket }
    }

    /// Sends one notification; never blocks.
    pub fn notify(&self, notification: &Notification<'_>) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(text(notification).as_bytes(), address) {
            tracing::debug!(%error, "a notification to the service manager was lost");
        }
    }
}

fn open(address: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

fn text(notification: &Notification<'_>) -> String {
    match notification {
        Notification::Ready => "READY=1\n".to_owned(),
        Notification::Stopping => "STOPPING=1\n".to_owned(),
        Notification::Watchdog => "WATCHDOG=1\n".to_owned(),
        Notification::Status(line) => format!("STATUS={}\n", line.replace('\n', " ")),
        // Type=notify-reload wants to know when, on its own clock.
        Notification::Reloading => match clock_gettime(ClockId::CLOCK_MONOTONIC) {
            Ok(now) => format!("RELOADING=1\nMONOTONIC_USEC={}\n", Duration::from(now).as_micros()),
            Err(_) => "RELOADING=1\n".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(listener: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = listener.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn notifications_arrive_at_a_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let manager = ServiceManager::at(Some(path.into_os_string()));
        for (notification, expected) in [
            (Notification::Ready, "READY=1\n"),
            (Notification::Stopping, "STOPPING=1\n"),
            (Notification::Watchdog, "WATCHDOG=1\n"),
            (Notification::Status("two\nlines"), "STATUS=two lines\n"),
        ] {
            manager.notify(&notification);
            assert_eq!(received(&listener), expected);
        }
        manager.notify(&Notification::Reloading);
        let reloading = received(&listener);
        let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        assert!(micros.parse::<u64>().unwrap() > 0, "{reloading}");
    }

    #[test]
    fn notifications_arrive_at_an_abstract_name() {
        let name = format!("holdfast-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        ServiceManager::at(Some(format!("@{name}").into())).notify(&Notification::Ready);
        assert_eq!(received(&listener), "READY=1\n");
    }

    #[test]
    fn without_a_service_manager_nothing_happens() {
        for address in
            [None, Some(OsString::new()), Some("/nonexistent/notify".into()), Some("x".repeat(200).into())]
        {
            ServiceManager::at(address).notify(&Notification::Ready);
        }
    }
}
