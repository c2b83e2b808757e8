//! Frames of both directions.

use bytes::Bytes;
use wayside_specs::limits;

use super::{
    BLOCK_BYTES, DATAGRAM_BYTES,
    pose::Pose,
    reader::{Broken, Reader, put_text},
};

/// No seat, where a seat is named.
pub const NO_SEAT: u16 = u16::MAX;

/// A frame that a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    /// Begins the visit for which the ticket was given.
    Hello {
        /// The version that the client speaks.
        version: u8,
        /// What the node gave it for this visit.
        ticket: String,
    },
    /// Where the client says its body is.
    Input {
        /// Counts the inputs, from anywhere, and begins again after 65,535.
        sequence: u16,
        /// Its pose.
        pose: Pose,
    },
    /// It wants to sit.
    Sit {
        /// The place of the seat among those of the scene.
        seat: u16,
    },
    /// It wants to stand up.
    Stand,
    /// It shows something with its body.
    Emote {
        /// What.
        emote: u8,
    },
    /// It wants an answer.
    Ping {
        /// What the answer shall name.
        nonce: u32,
    },
    /// It leaves.
    Go,
    /// Whom its person blocks from now on (specs/social.md).
    Blocks {
        /// What the hashes were made with.
        salt: [u8; BLOCK_BYTES],
        /// A hash of each name.
        hashes: Vec<[u8; BLOCK_BYTES]>,
    },
}

impl FromClient {
    /// Reads a frame.
    pub fn read(bytes: &[u8]) -> Result<Self, Broken> {
        let (kind, rest) = bytes.split_first().ok_or(Broken::Empty)?;
        let mut reader = Reader::new(rest);
        let frame = match kind {
            0x01 => Self::Hello { version: reader.u8()?, ticket: reader.text()? },
            0x02 => Self::Input { sequence: reader.u16()?, pose: Pose::read(&mut reader)? },
            0x03 => Self::Sit { seat: reader.u16()? },
            0x04 => Self::Stand,
            0x05 => Self::Emote { emote: reader.u8()? },
            0x06 => Self::Ping { nonce: reader.u32()? },
            0x07 => Self::Go,
            0x08 => Self::Blocks { salt: reader.array()?, hashes: read_hashes(&mut reader)? },
            other => return Err(Broken::Kind(*other)),
        };
        reader.end()?;
        Ok(frame)
    }

    /// The kind byte of the frame.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => 0x01,
            Self::Input { .. } => 0x02,
            Self::Sit { .. } => 0x03,
            Self::Stand => 0x04,
            Self::Emote { .. } => 0x05,
            Self::Ping { .. } => 0x06,
            Self::Go => 0x07,
            Self::Blocks { .. } => 0x08,
        }
    }

    /// The bytes of the frame.
    ///
    /// # Panics
    /// When it blocks more than 65,535 names.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let mut out = vec![self.kind()];
        match self {
            Self::Hello { version, ticket } => {
                out.push(*version);
                put_text(&mut out, ticket);
            }
            Self::Input { sequence, pose } => {
                out.extend(sequence.to_le_bytes());
                pose.put(&mut out);
            }
            Self::Sit { seat } => out.extend(seat.to_le_bytes()),
            Self::Stand | Self::Go => {}
            Self::Emote { emote } => out.push(*emote),
            Self::Ping { nonce } => out.extend(nonce.to_le_bytes()),
            Self::Blocks { salt, hashes } => {
                out.extend(salt);
                let count = u16::try_from(hashes.len()).expect("nobody tells of so many");
                out.extend(count.to_le_bytes());
                out.extend(hashes.as_flattened());
            }
        }
        out.into()
    }
}

/// Who has a slot of an instance, as the others are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visitor {
    /// Their Matrix user id.
    pub user_id: String,
    /// What they are called.
    pub name: String,
    /// Reference to the body that they wear.
    pub avatar: String,
    /// Reference to the body to be shown where that one cannot be.
    pub fallback: String,
    /// Whether they are a guest.
    pub guest: bool,
    /// The badges that they show, by whom they were given and what they are called.
    pub badges: Vec<(String, String)>,
}

/// A frame that the node sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromNode {
    /// The client is in.
    Welcome {
        /// The version that is spoken from here on.
        version: u8,
        /// Its slot.
        slot: u16,
        /// Ticks in a second.
        tick_hz: u8,
        /// The tick that it is.
        tick: u32,
        /// How many bodies the instance holds at most.
        capacity: u16,
        /// Where its body stands.
        pose: Pose,
    },
    /// Where bodies are.
    Snapshot {
        /// The tick of which it tells.
        tick: u32,
        /// Slots and poses.
        bodies: Vec<(u16, Pose)>,
    },
    /// Who has a slot.
    Entered {
        /// The slot.
        slot: u16,
        /// Whether it is the slot of who is told.
        own: bool,
        /// Where they sit, or [`NO_SEAT`].
        seat: u16,
        /// Who.
        who: Visitor,
    },
    /// Nobody has that slot any more.
    Left {
        /// The slot.
        slot: u16,
    },
    /// Somebody shows something.
    Emoted {
        /// Their slot.
        slot: u16,
        /// What.
        emote: u8,
        /// Since when.
        tick: u32,
    },
    /// The client is not where it said.
    Correction {
        /// The input that was not believed.
        sequence: u16,
        /// Why.
        reason: Reason,
        /// Where it is.
        pose: Pose,
    },
    /// Somebody sat down or stood up.
    Seated {
        /// Their slot.
        slot: u16,
        /// The seat, or [`NO_SEAT`].
        seat: u16,
    },
    /// What was asked is not done.
    Refused {
        /// The kind of the frame that asked.
        kind: u8,
        /// Why.
        reason: Refused,
    },
    /// Something was said in the room.
    Event {
        /// The event as JSON (client-server API, `ClientEvent`).
        event: String,
    },
    /// Answers a ping.
    Pong {
        /// What the ping named.
        nonce: u32,
        /// The tick that it is.
        tick: u32,
    },
    /// Something that the visitor should know.
    Notice {
        /// What, by its short name (specs/realtime.md).
        code: String,
    },
    /// The visit is over.
    Bye {
        /// Why.
        reason: Bye,
        /// How long to wait before asking for another, in milliseconds.
        again_ms: u32,
    },
}

/// Makes an enum whose variants are numbers on the wire.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$item])* $variant = $number,)* }

        impl $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
                match reader.u8()? {
                    $($number => Ok(Self::$variant),)*
                    _ => Err(Broken::Value),
                }
            }
        }
    };
}

numbers! {
    /// Why a body is not where its client said.
    Reason {
        /// Nobody is that fast.
        Fast = 1,
        /// A wall is in between.
        Wall = 2,
        /// It would be under the ground.
        Ground = 3,
        /// Nobody jumps that high, or stays up that long.
        High = 4,
        /// The world ends before.
        Outside = 5,
        /// Whoever sits does not walk.
        Seated = 6,
    }
}

numbers! {
    /// Why something that was asked is not done.
    Refused {
        /// Somebody sits there.
        Taken = 1,
        /// It is too far away.
        Far = 2,
        /// There is no such thing.
        Unknown = 3,
        /// Not in this position.
        NotNow = 4,
        /// Too often.
        Often = 5,
    }
}

numbers! {
    /// Why a visit is over.
    Bye {
        /// The client left.
        Gone = 1,
        /// The client does not keep to the protocol.
        Protocol = 2,
        /// The ticket opens nothing.
        Ticket = 3,
        /// Another visit of the same person took its place.
        Replaced = 4,
        /// They were removed from the world.
        Removed = 5,
        /// The node ends.
        Ending = 6,
        /// The client sends too much.
        Flood = 7,
        /// The client does not take what it is sent.
        Slow = 8,
        /// The instance broke off.
        Broken = 9,
        /// The client speaks another version.
        Version = 10,
        /// Since the ticket was given the world has filled.
        Full = 11,
        /// The device of the visit was signed out, or its account has ended.
        SignedOut = 12,
    }
}

const GUEST_BIT: u8 = 1;
const OWN_BIT: u8 = 1 << 1;

impl FromNode {
    /// Reads a frame.
    pub fn read(bytes: &[u8]) -> Result<Self, Broken> {
        let (kind, rest) = bytes.split_first().ok_or(Broken::Empty)?;
        let mut reader = Reader::new(rest);
        let it = &mut reader;
        let frame = match kind {
            0x41 => Self::Welcome {
                version: it.u8()?,
                slot: it.u16()?,
                tick_hz: it.u8()?,
                tick: it.u32()?,
                capacity: it.u16()?,
                pose: Pose::read(it)?,
            },
            0x42 => Self::Snapshot { tick: it.u32()?, bodies: read_bodies(it)? },
            0x43 => read_entered(it)?,
            0x44 => Self::Left { slot: it.u16()? },
            0x45 => Self::Emoted { slot: it.u16()?, emote: it.u8()?, tick: it.u32()? },
            0x46 => Self::Correction {
                sequence: it.u16()?,
                reason: Reason::read(it)?,
                pose: Pose::read(it)?,
            },
            0x47 => Self::Seated { slot: it.u16()?, seat: it.u16()? },
            0x48 => Self::Refused { kind: it.u8()?, reason: Refused::read(it)? },
            0x49 => Self::Event { event: it.long()? },
            0x4a => Self::Pong { nonce: it.u32()?, tick: it.u32()? },
            0x4b => Self::Bye { reason: Bye::read(it)?, again_ms: it.u32()? },
            0x4c => Self::Notice { code: it.text()? },
            other => return Err(Broken::Kind(*other)),
        };
        reader.end()?;
        Ok(frame)
    }

    /// The kind byte of the frame.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Welcome { .. } => 0x41,
            Self::Snapshot { .. } => SNAPSHOT,
            Self::Entered { .. } => 0x43,
            Self::Left { .. } => 0x44,
            Self::Emoted { .. } => 0x45,
            Self::Correction { .. } => 0x46,
            Self::Seated { .. } => 0x47,
            Self::Refused { .. } => 0x48,
            Self::Event { .. } => 0x49,
            Self::Pong { .. } => 0x4a,
            Self::Bye { .. } => 0x4b,
            Self::Notice { .. } => 0x4c,
        }
    }

    /// The bytes of the frame.
    ///
    /// # Panics
    /// When an event has 4 GiB or a snapshot more than 255 bodies.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let mut out = vec![self.kind()];
        match self {
            Self::Welcome { version, slot, tick_hz, tick, capacity, pose } => {
                out.push(*version);
                out.extend(slot.to_le_bytes());
                out.push(*tick_hz);
                out.extend(tick.to_le_bytes());
                out.extend(capacity.to_le_bytes());
                pose.put(&mut out);
            }
            Self::Snapshot { tick, bodies } => {
                out = snapshot(*tick);
                for (slot, pose) in bodies {
                    out.extend(slot.to_le_bytes());
                    pose.put(&mut out);
                }
                end_snapshot(&mut out, bodies.len());
            }
            Self::Entered { slot, own, seat, who } => {
                put_entered(&mut out, *slot, *own, *seat, who);
            }
            Self::Left { slot } => out.extend(slot.to_le_bytes()),
            Self::Emoted { slot, emote, tick } => {
                out.extend(slot.to_le_bytes());
                out.push(*emote);
                out.extend(tick.to_le_bytes());
            }
            Self::Correction { sequence, reason, pose } => {
                out.extend(sequence.to_le_bytes());
                out.push(*reason as u8);
                pose.put(&mut out);
            }
            Self::Seated { slot, seat } => {
                out.extend(slot.to_le_bytes());
                out.extend(seat.to_le_bytes());
            }
            Self::Refused { kind, reason } => out.extend([*kind, *reason as u8]),
            Self::Event { event } => {
                let bytes = u32::try_from(event.len()).expect("an event is below 64 KiB");
                out.extend(bytes.to_le_bytes());
                out.extend(event.as_bytes());
            }
            Self::Pong { nonce, tick } => {
                out.extend(nonce.to_le_bytes());
                out.extend(tick.to_le_bytes());
            }
            Self::Bye { reason, again_ms } => {
                out.push(*reason as u8);
                out.extend(again_ms.to_le_bytes());
            }
            Self::Notice { code } => put_text(&mut out, code),
        }
        out.into()
    }
}

const SNAPSHOT: u8 = 0x42;
/// Where a snapshot says how many bodies it holds.
const SNAPSHOT_COUNT: usize = 5;

/// Whether a frame of the node is one that may be lost.
#[must_use]
pub fn is_snapshot(frame: &[u8]) -> bool {
    frame.first() == Some(&SNAPSHOT)
}

/// The beginning of a snapshot, to which encoded bodies are appended.
#[must_use]
pub fn snapshot(tick: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(DATAGRAM_BYTES);
    out.push(SNAPSHOT);
    out.extend(tick.to_le_bytes());
    out.push(0);
    out
}

/// A snapshot without some of its bodies: the very same bytes where it has none of them, and none where it
/// has no others.
#[must_use]
pub fn snapshot_without(frame: &Bytes, hides: impl Fn(u16) -> bool) -> Option<Bytes> {
    if !records(frame).any(|(slot, _)| hides(slot)) {
        return Some(frame.clone());
    }
    let (mut out, mut count) = (frame.get(..=SNAPSHOT_COUNT)?.to_vec(), 0);
    for (_, record) in records(frame).filter(|(slot, _)| !hides(*slot)) {
        out.extend(record);
        count += 1;
    }
    end_snapshot(&mut out, count);
    (count > 0).then(|| out.into())
}

/// The bodies of a snapshot: whose, and all bytes of each.
fn records(frame: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let count = frame.get(SNAPSHOT_COUNT).copied().unwrap_or(0);
    let mut rest = frame.get(SNAPSHOT_COUNT + 1..).unwrap_or_default();
    let next = move || {
        let [low, high, state, ..] = *rest else { return None };
        let (record, others) = rest.split_at_checked(2 + Pose::bytes_by(state))?;
        rest = others;
        Some((u16::from_le_bytes([low, high]), record))
    };
    std::iter::from_fn(next).take(count.into())
}

/// Says in a snapshot how many bodies were appended to it.
///
/// # Panics
/// When there are more than 255, which do not fit into a datagram.
pub fn end_snapshot(out: &mut [u8], bodies: usize) {
    out[SNAPSHOT_COUNT] = u8::try_from(bodies).expect("no more fit into a datagram");
}

fn read_hashes(reader: &mut Reader<'_>) -> Result<Vec<[u8; BLOCK_BYTES]>, Broken> {
    let count = reader.u16()?;
    if usize::from(count) > limits::BLOCKS {
        return Err(Broken::Value);
    }
    (0..count).map(|_| reader.array()).collect()
}

fn read_bodies(reader: &mut Reader<'_>) -> Result<Vec<(u16, Pose)>, Broken> {
    let count = reader.u8()?;
    (0..count).map(|_| Ok((reader.u16()?, Pose::read(reader)?))).collect()
}

fn read_entered(reader: &mut Reader<'_>) -> Result<FromNode, Broken> {
    let slot = reader.u16()?;
    let flags = reader.u8()?;
    if flags & !(GUEST_BIT | OWN_BIT) != 0 {
        return Err(Broken::Value);
    }
    let seat = reader.u16()?;
    let who = Visitor {
        user_id: reader.text()?,
        name: reader.text()?,
        avatar: reader.text()?,
        fallback: reader.text()?,
        guest: flags & GUEST_BIT != 0,
        badges: read_badges(reader)?,
    };
    Ok(FromNode::Entered { slot, own: flags & OWN_BIT != 0, seat, who })
}

fn read_badges(reader: &mut Reader<'_>) -> Result<Vec<(String, String)>, Broken> {
    let count = reader.u8()?;
    if usize::from(count) > limits::SHOWN_BADGES {
        return Err(Broken::Value);
    }
    (0..count).map(|_| Ok((reader.text()?, reader.text()?))).collect()
}

fn put_entered(out: &mut Vec<u8>, slot: u16, own: bool, seat: u16, who: &Visitor) {
    out.extend(slot.to_le_bytes());
    out.push(if who.guest { GUEST_BIT } else { 0 } | if own { OWN_BIT } else { 0 });
    out.extend(seat.to_le_bytes());
    for text in [&who.user_id, &who.name, &who.avatar, &who.fallback] {
        put_text(out, text);
    }
    let count = who.badges.len().min(limits::SHOWN_BADGES);
    out.push(u8::try_from(count).expect("so few are shown"));
    for (issuer, name) in &who.badges[..count] {
        put_text(out, issuer);
        put_text(out, name);
    }
}
