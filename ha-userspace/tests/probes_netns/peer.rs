//! A peer in userspace: judges requests and answers them by the rules the data plane has (design of the probe, section 7.4).

use crate::bench::{CLUSTER, FAR_END_PRIORITY, FarSide, OWN_NODE, PEER, PORT};
use ha_common::maps::peers::MacKey;
use ha_common::wire::probe::{LENGTH, MAGIC, Message, TTL, VERSION, kind};
use holdfast::probes::keys::PairKeys;
use holdfast::runtime::{clock, realtime};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often a responder looks whether the test is over.
const PATIENCE: Duration = Duration::from_millis(20);

pub(crate) struct PeerModel {
    pub(crate) keys: PairKeys,
    pub(crate) incarnation: u64,
    pub(crate) silent: bool,
    /// What was accepted: authenticated, fresh, of the peer's present run.
    pub(crate) accepted: Vec<Message>,
    pub(crate) challenges: u64,
    /// Why messages were thrown away.
    pub(crate) refused: Vec<&'static str>,
    known: u64,
    highest: HashMap<u32, u64>,
}

impl PeerModel {
    pub(crate) fn shared(keys: PairKeys) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            keys,
            incarnation: (3 << 32) | 3,
            silent: false,
            accepted: Vec::new(),
            challenges: 0,
            refused: Vec::new(),
            known: 0,
            highest: HashMap::new(),
        }))
    }

    /// Forgets everything, as a new run does.
    pub(crate) fn restart(&mut self) {
        self.incarnation += 1 << 32;
        self.known = 0;
        self.highest.clear();
    }

    /// Answers on an address of the far side until the test drops the model.
    pub(crate) fn answer_on(model: &Arc<Mutex<Self>>, far: &FarSide, address: IpAddr, interface: &str) {
        let enter = far.enter();
        let weak = Arc::downgrade(model);
        let interface = interface.to_owned();
        let (ready, started) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            enter();
            let scope = nix::net::if_::if_nametoindex(interface.as_str()).unwrap();
            let bound: SocketAddr = match address {
                IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, PORT, 0, scope).into(),
                other => (other, PORT).into(),
            };
            let socket = UdpSocket::bind(bound).unwrap();
            if bound.is_ipv4() {
                socket.set_ttl(u32::from(TTL)).unwrap();
            }
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            FAR_END_PRIORITY.map(realtime::enter_realtime);
            ready.send(()).unwrap();
            let mut buffer = [0; 256];
            loop {
                let received = socket.recv_from(&mut buffer);
                let Some(model) = weak.upgrade() else { return };
                let Ok((length, from)) = received else { continue };
                let answer = model.lock().unwrap().judge(&buffer[..length]);
                if let Some(answer) = answer {
                    // The interface may be gone by now.
                    let _ = socket.send_to(bytemuck::bytes_of(&answer), from);
                }
            }
        });
        started.recv().unwrap();
    }

    fn judge(&mut self, bytes: &[u8]) -> Option<Message> {
        match self.answer(bytes) {
            Ok(answer) => answer.filter(|_| !self.silent),
            Err(reason) => {
                self.refused.push(reason);
                None
            }
        }
    }

    fn answer(&mut self, bytes: &[u8]) -> Result<Option<Message>, &'static str> {
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| "length")?;
        let message: Message = bytemuck::cast(bytes);
        let header = (message.magic, message.version, message.cluster, message.from, message.to);
        if header != (MAGIC, VERSION, CLUSTER, OWN_NODE, PEER.0) {
            return Err("header");
        }
        let slot = self.keys.key_ids.iter().position(|id| *id == message.key_id && *id != 0);
        let slot = slot.ok_or("key id")?;
        if message.compute_mac(self.keys.receive[slot]) != message.mac {
            return Err("MAC");
        }
        let send = self.keys.send[slot];
        let request = message.kind == kind::REQUEST;
        if request && message.responder_incarnation != self.incarnation {
            self.challenges += 1;
            return Ok(Some(self.reply(kind::CHALLENGE, &message, send)));
        }
        if message.prober_incarnation < self.known || (!request && message.prober_incarnation != self.known) {
            return Err("incarnation");
        }
        self.known = message.prober_incarnation;
        let highest = self.highest.entry(message.path_index()).or_default();
        if message.sequence <= *highest {
            return Err("sequence");
        }
        *highest = message.sequence;
        self.accepted.push(message);
        Ok(request.then(|| self.reply(kind::REPLY, &message, send)))
    }

    fn reply(&self, kind: u8, request: &Message, key: MacKey) -> Message {
        Message {
            kind,
            from: request.to,
            to: request.from,
            responder_incarnation: self.incarnation,
            t2_ns: clock::now().as_nanos(),
            ..*request
        }
        .signed(key)
    }
}
