//! The socket that the kernel's interface and address events arrive on.
//!
//! Read by hand because of overruns: when its queue is full the kernel reports ENOBUFS once, before what is still
//! queued, and drops everything until the queue has been read empty. So after that error what is queued is stale, and a
//! dump means something only once the queue is empty. [`EventSocket::read`] returns exactly then.

use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket, protocols::NETLINK_ROUTE};
use std::io;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const GROUPS: [MulticastGroup; 3] =
    [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
/// Asked for; `rmem_max` may allow less.
const RECEIVE_BUFFER: usize = 4 << 20;
/// The kernel sends no larger datagram to a group.
const DATAGRAM: usize = 64 << 10;
/// Messages handed on before the thread's other work gets its turn.
const TURN: usize = 256;
/// Messages lie at multiples of this in a datagram.
const ALIGNMENT: usize = 4;
const HEADER_LENGTH: usize = 16;

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EventRead {
    Events(Vec<RouteNetlinkMessage>),
    /// Events were lost, and the queue is empty now: everything must be read anew.
    Lost,
}

#[derive(Debug)]
pub(super) struct EventSocket {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
}

impl EventSocket {
    /// Subscribes in the calling thread's network namespace. Needs a runtime.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind_auto()?;
        let _ = socket.set_rx_buf_sz(RECEIVE_BUFFER);
        for group in GROUPS {
            socket.add_membership(group as u32)?;
        }
        // SAFETY: the socket owns its descriptor, and nothing here replaces or closes it while it is registered.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE)? };
        Ok(Self { socket, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// Waits for events.
    pub(super) async fn read(&mut self) -> io::Result<EventRead> {
        let mut ready = self.socket.readable().await?;
        let mut events = Vec::new();
        let mut lost = false;
        loop {
            self.buffer.clear();
            match ready.get_inner().recv(&mut self.buffer, 0) {
                Ok(_) if lost => {}
                Ok(_) => decode(&self.buffer, &mut events),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => lost = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if !lost && events.len() >= TURN {
                break;
            }
        }
        Ok(if lost { EventRead::Lost } else { EventRead::Events(events) })
    }
}

/// Takes every message out of a datagram; one that cannot be read is left out.
pub(super) fn decode(datagram: &[u8], events: &mut Vec<RouteNetlinkMessage>) {
    let mut rest = datagram;
    while let Some(length) = rest.first_chunk::<4>().map(|length| u32::from_ne_bytes(*length) as usize) {
        if length < HEADER_LENGTH || length > rest.len() {
            return;
        }
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&rest[..length]) {
            Ok(NetlinkMessage { payload: NetlinkPayload::InnerMessage(message), .. }) => events.push(message),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "an interface event could not be read"),
        }
        rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_route::link::LinkMessage;

    #[test]
    fn every_message_of_a_datagram_is_taken_and_rubbish_ends_it() {
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewLink(LinkMessage::default()));
        message.finalize();
        let mut datagram = vec![0; message.buffer_len()];
        message.serialize(&mut datagram);
        let mut twice = [datagram.clone(), datagram.clone()].concat();
        let mut events = Vec::new();
        decode(&twice, &mut events);
        assert_eq!(events.len(), 2);
        for rubbish in [&[0u8; 20][..], &[0xff; 20], &datagram[..10], &[7, 0, 0]] {
            twice.truncate(2 * datagram.len());
            twice.extend(rubbish);
            let mut events = Vec::new();
            decode(&twice, &mut events);
            assert_eq!(events.len(), 2);
        }
    }
}
