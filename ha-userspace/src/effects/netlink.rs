//! Requests to the kernel by rtnetlink, sent in a pipeline and collected afterwards.
//!
//! Lives on the effects thread, whose runtime drives the connection. The order of requests is the order in which the
//! kernel carries them out, so a sequence needs no waiting in between. Every request has a deadline: an answer that was
//! lost to a full buffer becomes an error instead of a wait without end.

use futures_util::{Stream, StreamExt, TryStreamExt};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::sys::AsyncSocket;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;
use thiserror::Error;

/// Far above what a loaded kernel needs.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Requests in flight at most; their answers must fit the receive buffer together.
pub(super) const PIPELINE: usize = 128;
const RECEIVE_BUFFER: usize = 4 << 20;

/// Why a request failed.
#[derive(Debug, Error)]
pub enum NetlinkError {
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    Refused(i32),
    #[error("the kernel gave no answer")]
    NoAnswer,
    #[error("{0}")]
    Connection(String),
}

impl NetlinkError {
    /// The kernel's errno, if it answered.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused(errno) => Some(*errno),
            _ => None,
        }
    }
}

type Answers = Pin<Box<dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>>>>;

/// A request under way.
pub(super) struct Pending(Result<Answers, NetlinkError>);

impl Pending {
    /// Waits for the kernel's answer.
    pub(super) async fn done(self) -> Result<(), NetlinkError> {
        let mut answers = self.0?;
        let collect = async {
            while let Some(message) = answers.next().await {
                match message.payload {
                    NetlinkPayload::Error(error) if error.raw_code() != 0 => {
                        return Err(NetlinkError::Refused(error.raw_code().abs()));
                    }
                    // An acknowledgement may be lost with an overrun; the deadline then ends the wait.
                    _ => {}
                }
            }
            Ok(())
        };
        tokio::time::timeout(ANSWER_DEADLINE, collect).await.unwrap_or(Err(NetlinkError::NoAnswer))
    }
}

/// A connection to the kernel, in the network namespace of the thread that opened it.
#[derive(Clone, Debug)]
pub(super) struct Netlink {
    handle: rtnetlink::Handle,
}

impl Netlink {
    /// Opens a connection and has the present runtime drive it.
    pub(super) fn connect() -> io::Result<Self> {
        let (mut connection, handle, _) = rtnetlink::new_connection()?;
        // rmem_max may allow less: then fewer answers fit, which the pipeline's depth already respects.
        let _ = connection.socket_mut().socket_mut().set_rx_buf_sz(RECEIVE_BUFFER);
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    pub(super) fn add_address(&self, message: AddressMessage) -> Pending {
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    pub(super) fn remove_address(&self, message: AddressMessage) -> Pending {
        self.request(RouteNetlinkMessage::DelAddress(message), 0)
    }

    pub(super) fn add_link(&self, message: LinkMessage) -> Pending {
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    pub(super) fn set_link(&self, message: LinkMessage) -> Pending {
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    pub(super) fn remove_link(&self, message: LinkMessage) -> Pending {
        self.request(RouteNetlinkMessage::DelLink(message), 0)
    }

    /// All interfaces.
    pub(super) async fn links(&self) -> Result<Vec<LinkMessage>, NetlinkError> {
        dump(self.handle.link().get().execute()).await
    }

    /// One interface; `ENODEV` where there is none of that name.
    pub(super) async fn link(&self, name: &str) -> Result<LinkMessage, NetlinkError> {
        let mut answers = pin!(self.handle.link().get().match_name(name.to_owned()).execute());
        let first = tokio::time::timeout(ANSWER_DEADLINE, answers.next()).await;
        match first.map_err(|_| NetlinkError::NoAnswer)? {
            Some(Ok(message)) => Ok(message),
            Some(Err(rtnetlink::Error::NetlinkError(error))) => {
                Err(NetlinkError::Refused(error.raw_code().abs()))
            }
            Some(Err(error)) => Err(NetlinkError::Connection(error.to_string())),
            None => Err(NetlinkError::NoAnswer),
        }
    }

    /// All addresses of both families.
    pub(super) async fn addresses(&self) -> Result<Vec<AddressMessage>, NetlinkError> {
        dump(self.handle.address().get().execute()).await
    }

    fn request(&self, message: RouteNetlinkMessage, flags: u16) -> Pending {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let answers = self.handle.clone().request(request);
        Pending(
            answers
                .map(|stream| Box::pin(stream) as Answers)
                .map_err(|error| NetlinkError::Connection(error.to_string())),
        )
    }
}

async fn dump<T>(stream: impl Stream<Item = Result<T, rtnetlink::Error>>) -> Result<Vec<T>, NetlinkError> {
    tokio::time::timeout(ANSWER_DEADLINE, stream.try_collect::<Vec<T>>())
        .await
        .map_err(|_| NetlinkError::NoAnswer)?
        .map_err(|error| NetlinkError::Connection(error.to_string()))
}
