//! Where a body is and how it holds itself, in the steps of the wire.

use super::reader::{Broken, Reader};

/// Steps of a position in a metre.
pub const UNITS_PER_METRE: f32 = 500.0;

/// The place of the head among the parts of a tracked pose.
pub const HEAD: usize = 0;
/// The place of the left hand.
pub const LEFT_HAND: usize = 1;
/// The place of the right hand.
pub const RIGHT_HAND: usize = 2;

/// Bytes of a pose on the wire.
const BYTES: usize = 14;
/// Bytes of head and hands behind it.
const TRACKED_BYTES: usize = 31;
const MOTION_BITS: u8 = 0b1111;
const TRACKED_BIT: u8 = 1 << 4;
const JUMPED_BIT: u8 = 1 << 5;
/// The ends of an `i24`.
const FARTHEST: i32 = (1 << 23) - 1;
/// A quarter turn up or down.
const STEEPEST: i8 = 64;

/// What a body does with its legs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Motion {
    /// It stands.
    #[default]
    Stand,
    /// It walks.
    Walk,
    /// It runs.
    Run,
    /// It is in the air.
    Air,
    /// It sits on a seat.
    Sit,
}

impl Motion {
    const ALL: [Self; 5] = [Self::Stand, Self::Walk, Self::Run, Self::Air, Self::Sit];
}

/// Where a body is and how it holds itself. The numbers are those of the wire (specs/realtime.md,
/// Poses), so that reading and writing one again changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pose {
    /// What its legs do.
    pub motion: Motion,
    /// Whether it is there without having passed what lies between.
    pub jumped: bool,
    /// The point on the ground between the feet, in 1/500 m.
    pub at: [i32; 3],
    /// In 1/65,536 turn about +Y; at zero it looks along +Z.
    pub yaw: u16,
    /// Of the head, in 1/256 turn to the left of the body.
    pub look_yaw: i8,
    /// Of the head, in 1/256 turn upwards, at most a quarter turn.
    pub look_pitch: i8,
    /// Head and hands of somebody in a headset.
    pub tracked: Option<Tracked>,
}

/// Head and hands as a headset sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Bit 0: the left hand is tracked; bit 1: the right one.
    pub hands: u8,
    /// Head, left hand, right hand.
    pub parts: [Part; 3],
}

/// One tracked part of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// In millimetres, in the frame of the body.
    pub at_mm: [i16; 3],
    /// Its turn, a quaternion without its largest component.
    pub turn: u32,
}

impl Pose {
    /// A body that stands there, in metres, with a yaw in radians.
    #[must_use]
    pub fn standing(at: [f32; 3], yaw: f32) -> Self {
        Self { at: at.map(units), yaw: turn_units(yaw), ..Self::default() }
    }

    /// The point between the feet in metres.
    #[must_use]
    pub fn metres(&self) -> [f32; 3] {
        self.at.map(|units| {
            #[expect(clippy::cast_precision_loss, reason = "24 bits fit into the 24 of a float")]
            let units = units as f32;
            units / UNITS_PER_METRE
        })
    }

    /// The same pose at another place, in metres.
    #[must_use]
    pub fn moved_to(self, at: [f32; 3]) -> Self {
        Self { at: at.map(units), ..self }
    }

    /// Reads a pose that stands alone.
    pub fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        let mut reader = Reader::new(bytes);
        let pose = Self::read(&mut reader)?;
        reader.end().map(|()| pose)
    }

    /// The bytes of the pose alone.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    /// How many bytes a pose has that begins with this one.
    pub(super) fn bytes_by(state: u8) -> usize {
        if state & TRACKED_BIT == 0 { BYTES } else { BYTES + TRACKED_BYTES }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let state = reader.u8()?;
        let motion = Motion::ALL.get(usize::from(state & MOTION_BITS)).ok_or(Broken::Pose)?;
        if state & !(MOTION_BITS | TRACKED_BIT | JUMPED_BIT) != 0 {
            return Err(Broken::Pose);
        }
        let mut pose = Self {
            motion: *motion,
            jumped: state & JUMPED_BIT != 0,
            at: [reader.i24()?, reader.i24()?, reader.i24()?],
            yaw: reader.u16()?,
            look_yaw: reader.i8()?,
            look_pitch: reader.i8()?,
            tracked: None,
        };
        if !(-STEEPEST..=STEEPEST).contains(&pose.look_pitch) {
            return Err(Broken::Pose);
        }
        if state & TRACKED_BIT != 0 {
            pose.tracked = Some(Tracked::read(reader)?);
        }
        Ok(pose)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let motion = Motion::ALL.iter().position(|motion| *motion == self.motion);
        let motion = motion.and_then(|at| u8::try_from(at).ok()).expect("every motion is listed");
        let tracked = if self.tracked.is_some() { TRACKED_BIT } else { 0 };
        let jumped = if self.jumped { JUMPED_BIT } else { 0 };
        out.push(motion | tracked | jumped);
        for units in self.at {
            out.extend(&units.clamp(-FARTHEST - 1, FARTHEST).to_le_bytes()[..3]);
        }
        out.extend(self.yaw.to_le_bytes());
        out.extend(self.look_yaw.to_le_bytes());
        out.extend(self.look_pitch.to_le_bytes());
        if let Some(tracked) = &self.tracked {
            tracked.put(out);
        }
    }
}

impl Tracked {
    const HANDS: u8 = 0b11;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let hands = reader.u8()?;
        if hands & !Self::HANDS != 0 {
            return Err(Broken::Pose);
        }
        Ok(Self { hands, parts: [Part::read(reader)?, Part::read(reader)?, Part::read(reader)?] })
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.hands);
        for part in &self.parts {
            part.at_mm.iter().for_each(|mm| out.extend(mm.to_le_bytes()));
            out.extend(part.turn.to_le_bytes());
        }
    }
}

impl Part {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let at_mm = [reader.i16()?, reader.i16()?, reader.i16()?];
        Ok(Self { at_mm, turn: reader.u32()? })
    }

    /// Writes a turn given as x, y, z, w of a unit quaternion.
    #[must_use]
    pub fn turned(self, quaternion: [f32; 4]) -> Self {
        let mut largest = 0;
        for at in 1..4 {
            if quaternion[at].abs() > quaternion[largest].abs() {
                largest = at;
            }
        }
        // A quaternion and its negative are the same turn: the one is taken whose largest is positive.
        let sign = quaternion[largest].signum();
        let others = quaternion.iter().enumerate().filter(|(at, _)| *at != largest);
        let turn = others.fold(0, |bits, (_, value)| bits << 10 | steps(value * sign));
        let largest = [0, 1 << 30, 2 << 30, 3 << 30][largest];
        Self { turn: largest | turn, ..self }
    }

    /// The turn as x, y, z, w of a unit quaternion.
    #[must_use]
    pub fn quaternion(&self) -> [f32; 4] {
        let largest = usize::from((self.turn >> 24).to_le_bytes()[0] >> 6);
        let mut quaternion = [0.0; 4];
        let mut rest = 1.0;
        let mut shift = 20;
        for at in (0..4).filter(|at| *at != largest) {
            let [low, high, ..] = (self.turn >> shift & 1_023).to_le_bytes();
            let share = f32::from(u16::from_le_bytes([low, high])) / 1_023.0;
            let value = (share * 2.0 - 1.0) * std::f32::consts::FRAC_1_SQRT_2;
            quaternion[at] = value;
            rest -= value * value;
            shift -= 10_u32.min(shift);
        }
        quaternion[largest] = rest.max(0.0).sqrt();
        quaternion
    }
}

/// The ten bits of a component between -1/√2 and 1/√2.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn steps(value: f32) -> u32 {
    let share = (value * std::f32::consts::SQRT_2).clamp(-1.0, 1.0) / 2.0 + 0.5;
    (share * 1_023.0).round() as u32
}

/// The step that is nearest to so many metres.
#[expect(clippy::cast_possible_truncation, reason = "clamped after, and what is no number is zero")]
fn units(metres: f32) -> i32 {
    ((f64::from(metres) * f64::from(UNITS_PER_METRE)).round() as i32).clamp(-FARTHEST - 1, FARTHEST)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the turn is below one"
)]
fn turn_units(radians: f32) -> u16 {
    let turn = (f64::from(radians) / std::f64::consts::TAU).rem_euclid(1.0);
    ((turn * 65_536.0).round() as u32 % 65_536) as u16
}
