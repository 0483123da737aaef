//! `kind = "http"`: a GET is answered with a wanted status and, where asked for, a body that contains a text.
//!
//! Plain HTTP/1.1 over a fresh connection. Redirects are answers, not orders: they are judged by their status. At most
//! [`BODY_LIMIT`] bytes of a body are read, and none where none is asked for. Dropping the run drops the connection.

use super::examiner::Outcome;
use super::tcp;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// A body is searched this far.
const BODY_LIMIT: usize = 64 << 10;
/// All headers of an answer together.
const HEAD_LIMIT: usize = 64 << 10;
const DEFAULT_PORT: u16 = 80;
/// Without a list of wanted ones.
const DEFAULT_STATUS: std::ops::RangeInclusive<u16> = 200..=399;

/// Why a URL cannot be checked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UrlError {
    #[error("https is not spoken here: use http, or a command that speaks it")]
    Https,
    #[error("must begin with http://")]
    Scheme,
    #[error("a user name or password in a URL is not sent: use a command")]
    Credentials,
    #[error("{0:?} is not an IP address: a check must not depend on a name server")]
    Name(String),
    #[error("not a URL: {0}")]
    Malformed(String),
}

/// A URL taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    address: SocketAddr,
    /// As it stands in the `Host` header.
    authority: String,
    path_and_query: String,
}

impl HttpTarget {
    /// Takes `http://ADDRESS[:PORT][/PATH][?QUERY]` apart. The configuration's judge asks here as well.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let malformed = |error: hyper::http::uri::InvalidUri| UrlError::Malformed(error.to_string());
        let uri: Uri = url.parse().map_err(malformed)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(UrlError::Https),
            _ => return Err(UrlError::Scheme),
        }
        let authority = uri.authority().ok_or(UrlError::Scheme)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials);
        }
        let host = authority.host();
        let behind_host = &authority.as_str()[host.len()..];
        if host.is_empty() || (!behind_host.is_empty() && authority.port_u16().is_none_or(|port| port == 0)) {
            return Err(UrlError::Malformed(
                "no host, or no port from 1 to 65535 behind the colon".to_owned(),
            ));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address: IpAddr = bare.parse().map_err(|_| UrlError::Name(host.to_owned()))?;
        let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            address: SocketAddr::new(address, authority.port_u16().unwrap_or(DEFAULT_PORT)),
            authority: authority.as_str().to_owned(),
            path_and_query: path_and_query.to_owned(),
        })
    }
}

/// An HTTP check, ready to run.
#[derive(Debug)]
pub(super) struct HttpExaminer {
    target: HttpTarget,
    status: Vec<u16>,
    body: Option<String>,
}

impl HttpExaminer {
    pub(super) fn new(url: &str, status: &[u16], body: Option<&str>) -> Result<Self, UrlError> {
        Ok(Self { target: HttpTarget::parse(url)?, status: status.to_vec(), body: body.map(str::to_owned) })
    }

    pub(super) async fn run(&self, deadline: Instant) -> Outcome {
        match timeout_at(deadline, self.exchange()).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Outcome::timed_out(format!("{} gave no complete answer in time", self.target.authority))
            }
        }
    }

    async fn exchange(&self) -> Outcome {
        let stream = match TcpStream::connect(self.target.address).await {
            Ok(stream) => stream,
            Err(error) => {
                return Outcome::bad(format!("{}: {}", self.target.authority, tcp::reason(&error)));
            }
        };
        match self.converse(stream).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::bad(format!("{} did not answer as HTTP: {error}", self.target.authority)),
        }
    }

    async fn converse(&self, stream: TcpStream) -> hyper::Result<Outcome> {
        let handshake = http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await?;
        let exchange = async {
            let response = sender.send_request(self.request()).await?;
            self.judge(response).await
        };
        let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
        tokio::select! {
            biased;
            outcome = &mut exchange => return outcome,
            // What it has read is with the exchange, and so is its error.
            _ = &mut connection => {}
        }
        exchange.await
    }

    fn request(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        // Both come from a parsed URL, so neither conversion can fail; "/" is a request in any case.
        *request.uri_mut() = self.target.path_and_query.parse().unwrap_or_default();
        let host = header::HeaderValue::from_str(&self.target.authority);
        let agent = header::HeaderValue::from_static(concat!("holdfast/", env!("CARGO_PKG_VERSION")));
        let headers = request.headers_mut();
        headers.extend(host.map(|host| (header::HOST, host)));
        headers.insert(header::USER_AGENT, agent);
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("*/*"));
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        request
    }

    async fn judge(&self, response: Response<Incoming>) -> hyper::Result<Outcome> {
        let status = response.status();
        if !self.wants(status) {
            let wanted = self.wanted();
            return Ok(Outcome::bad(format!("{} answered {status}, wanted {wanted}", self.target.authority)));
        }
        let Some(text) = &self.body else {
            return Ok(Outcome::good(format!("{} answered {status}", self.target.authority)));
        };
        let found = contains(response.into_body(), text.as_bytes()).await?;
        Ok(if found {
            Outcome::good(format!("{} answered {status} with the wanted body", self.target.authority))
        } else {
            Outcome::bad(format!(
                "{} answered {status}, but its body does not contain {text:?} (the first {} KiB were searched)",
                self.target.authority,
                BODY_LIMIT >> 10
            ))
        })
    }

    fn wants(&self, status: StatusCode) -> bool {
        if self.status.is_empty() {
            return DEFAULT_STATUS.contains(&status.as_u16());
        }
        self.status.contains(&status.as_u16())
    }

    fn wanted(&self) -> String {
        if self.status.is_empty() {
            return format!("{} to {}", DEFAULT_STATUS.start(), DEFAULT_STATUS.end());
        }
        ranges(&self.status)
    }
}

/// Reads the body until the text was found, the body has ended or the limit is reached.
async fn contains(mut body: Incoming, text: &[u8]) -> hyper::Result<bool> {
    let mut read: Vec<u8> = Vec::new();
    loop {
        // The text may begin in what was searched before.
        if text.is_empty() || read.windows(text.len()).any(|window| window == text) {
            return Ok(true);
        }
        if read.len() >= BODY_LIMIT {
            return Ok(false);
        }
        let Some(frame) = body.frame().await else { return Ok(false) };
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(&data[..data.len().min(BODY_LIMIT - read.len())]);
        }
    }
}

/// `[200, 201, 202, 404]` as `200 to 202, 404`.
fn ranges(numbers: &[u16]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let runs = sorted.chunk_by(|one, next| next - one == 1);
    let texts = runs.map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first} to {last}"),
        [] => String::new(),
    });
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
