//! A name server of a story: it knows what the story tells it, and notes down what it is asked.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use crate::Address;

/// How long what it says may be kept, in seconds.
const TIME_TO_LIVE: u32 = 60;
/// Longest message without TCP that everybody takes (RFC 1035, section 4.2.1).
const DATAGRAM_BYTES: usize = 512;
/// Most aliases that are followed.
const ALIASES: usize = 8;
/// Types of records by number (RFC 1035, RFC 2782, RFC 3596).
const TYPES: [(u16, &str); 4] = [(1, "A"), (5, "CNAME"), (28, "AAAA"), (33, "SRV")];
/// Whoever asks for a name that does not exist is told this.
const NO_SUCH_NAME: u8 = 3;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An address of IPv4.
    A(Ipv4Addr),
    /// An address of IPv6.
    Aaaa(Ipv6Addr),
    /// Another name for the same.
    Cname(String),
    /// Where a service is.
    Srv {
        /// Lower ones are tried first.
        priority: u16,
        /// Share of those of the same priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The name of the machine.
        target: String,
    },
}

/// A name server on loopback, over UDP and TCP at the same port.
#[derive(Debug)]
pub struct Names {
    place: SocketAddr,
    book: Arc<Mutex<Book>>,
    _address: Address,
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Book {
    records: BTreeMap<String, Vec<Record>>,
    asked: Vec<(String, String)>,
}

impl Names {
    /// Opens one that knows no name.
    pub async fn open() -> Result<Self> {
        let address = Address::claim()?;
        let listener = TcpListener::bind(address.port(0)).await?;
        let place = listener.local_addr()?;
        let socket = UdpSocket::bind(place).await?;
        let book = Arc::new(Mutex::new(Book::default()));
        let mut serving = JoinSet::new();
        serving.spawn(answer_datagrams(socket, Arc::clone(&book)));
        serving.spawn(answer_streams(listener, Arc::clone(&book)));
        Ok(Self { place, book, _address: address, _serving: serving })
    }

    /// Where it is asked.
    #[must_use]
    pub fn place(&self) -> SocketAddr {
        self.place
    }

    /// Tells it one more thing about a name.
    pub fn add(&self, name: &str, record: Record) {
        locked(&self.book).records.entry(name.to_ascii_lowercase()).or_default().push(record);
    }

    /// Lets it forget a name.
    pub fn forget(&self, name: &str) {
        locked(&self.book).records.remove(&name.to_ascii_lowercase());
    }

    /// What it was asked, in order: the name in lower case, and the type such as `SRV`.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, String)> {
        locked(&self.book).asked.clone()
    }
}

impl Record {
    fn number(&self) -> u16 {
        match self {
            Self::A(_) => 1,
            Self::Cname(_) => 5,
            Self::Aaaa(_) => 28,
            Self::Srv { .. } => 33,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::A(ip) => ip.octets().to_vec(),
            Self::Aaaa(ip) => ip.octets().to_vec(),
            Self::Cname(name) => labels(name),
            Self::Srv { priority, weight, port, target } => {
                let numbers = [priority, weight, port].into_iter().flat_map(|it| it.to_be_bytes());
                numbers.chain(labels(target)).collect()
            }
        }
    }
}

impl Book {
    /// The answer to a message, if it is a question.
    fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let (name, after) = read_name(message, 12)?;
        let question = message.get(12..after + 4)?;
        let kind = u16::from_be_bytes([*message.get(after)?, *message.get(after + 1)?]);
        let known = TYPES.iter().find(|(number, _)| *number == kind);
        let kind_name = known.map_or_else(|| kind.to_string(), |it| it.1.to_owned());
        self.asked.push((name.clone(), kind_name));

        let (answers, exists) = self.find(name, kind);
        let mut reply = message.get(..2)?.to_vec();
        // An answer, authoritative, with the wish for recursion as it came, and recursion available.
        reply.extend([0x84 | (message.get(2)? & 0x01)]);
        reply.push(0x80 | if exists { 0 } else { NO_SUCH_NAME });
        let count = u16::try_from(answers.len()).ok()?;
        for number in [1, count, 0, 0] {
            reply.extend(number.to_be_bytes());
        }
        reply.extend(question);
        for (owner, record) in answers {
            reply.extend(labels(&owner));
            reply.extend(record.number().to_be_bytes());
            reply.extend(1_u16.to_be_bytes());
            reply.extend(TIME_TO_LIVE.to_be_bytes());
            let data = record.data();
            reply.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
            reply.extend(data);
        }
        Some(reply)
    }

    /// The records of a type with their owners, behind aliases too, and whether the name exists.
    fn find(&self, mut name: String, kind: u16) -> (Vec<(String, Record)>, bool) {
        let mut answers = Vec::new();
        for _ in 0..ALIASES {
            let Some(records) = self.records.get(&name) else {
                return (answers, false);
            };
            let of_kind = records.iter().filter(|record| record.number() == kind);
            answers.extend(of_kind.map(|record| (name.clone(), record.clone())));
            let alias = records.iter().find_map(|record| match record {
                Record::Cname(alias) if kind != record.number() => Some(alias.clone()),
                _ => None,
            });
            let Some(alias) = alias else {
                return (answers, true);
            };
            answers.push((name, Record::Cname(alias.clone())));
            name = alias.to_ascii_lowercase();
        }
        (answers, true)
    }
}

async fn answer_datagrams(socket: UdpSocket, book: Arc<Mutex<Book>>) {
    let mut message = [0; 4_096];
    while let Ok((length, from)) = socket.recv_from(&mut message).await {
        let Some(mut reply) = locked(&book).answer(&message[..length]) else { continue };
        if reply.len() > DATAGRAM_BYTES {
            // Cut off: whoever wants all of it comes by TCP.
            reply.truncate(DATAGRAM_BYTES);
            reply[2] |= 0x02;
        }
        let _lost = socket.send_to(&reply, from).await;
    }
}

async fn answer_streams(listener: TcpListener, book: Arc<Mutex<Book>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let book = Arc::clone(&book);
        connections.spawn(async move {
            let _broken_off = answer_stream(stream, &book).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer_stream(mut stream: TcpStream, book: &Mutex<Book>) -> Result<()> {
    loop {
        let mut message = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut message).await?;
        let reply = locked(book).answer(&message).context("no question")?;
        stream.write_u16(u16::try_from(reply.len())?).await?;
        stream.write_all(&reply).await?;
    }
}

/// A name as it travels, without compression.
fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a story writes labels of up to 63 letters"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A name in a question, which is never compressed, and where it ends.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name.join("."), at));
        }
        let label = message.get(at..at + length)?;
        name.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}

/// A story that panicked elsewhere has failed already.
fn locked(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
