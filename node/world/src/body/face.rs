//! Eyes, lids, brows and mouth: thin sheets on the front of the head, which a mood moves.

use super::figure::Figure;
use super::mesher::Surface;
use super::mood::Mood;
use super::paint::{self, FACE, FACE_METRES, IRIS, Strip, WHITE, place, strip};
use super::relief::Relief;
use super::skin::{Hold, held_by};
use crate::vector::{V3, mix, real, smooth, v3};
use std::f32::consts::{PI, TAU};

/// How far behind the surface an eye turns: the white bends as a ball of that radius does.
const EYE_RADIUS: f32 = 0.056;

/// The point about which an eye turns, so that its iris slides along the white.
pub(super) fn pivot(figure: &Figure, relief: &Relief, sign: f32) -> V3 {
    let x = 0.047 * figure.looks.features.eye_apart * sign;
    let (at, out) = relief.lift(x, -0.006, 0.004);
    at - out * (EYE_RADIUS * figure.head.scale)
}

/// A sheet of the face, with what colours and holds it.
pub(super) struct Sheet {
    pub(super) surface: Surface,
    pub(super) uv: Vec<[f32; 2]>,
    pub(super) hold: Hold,
}

/// Columns and rows of sheets: as few as still look round.
const EYE_COLUMNS: usize = 10;
const MOUTH_COLUMNS: usize = 12;
const IRIS_CORNERS: usize = 16;

/// How far the parts float over the skin, in metres of the reference, each over the last.
const WHITE_OVER: f32 = 0.0012;
const IRIS_OVER: f32 = 0.0016;
const LID_OVER: f32 = 0.0038;
const LASH_OVER: f32 = 0.0012;

/// What the features are made from, and where.
pub(super) struct Features<'a> {
    figure: &'a Figure<'a>,
    relief: &'a Relief,
}

impl<'a> Features<'a> {
    pub(super) fn new(figure: &'a Figure<'a>, relief: &'a Relief) -> Features<'a> {
        Features { figure, relief }
    }

    /// All sheets in that mood: the same number of the same points whatever the mood is.
    pub(super) fn sheets(&self, mood: &Mood) -> Vec<Sheet> {
        let mut sheets = Vec::new();
        for (at, sign) in [1.0, -1.0].into_iter().enumerate() {
            let eye = Eye::new(self, sign, mood.lid[at], mood.under[at]);
            sheets.extend([eye.white(), eye.iris(), eye.under_lid(), eye.lid(), eye.lash()]);
            sheets.push(self.brow(sign, mood));
        }
        self.mouth(mood, &mut sheets);
        sheets
    }

    fn head(&self) -> Hold {
        held_by(self.figure.rig.find("head"))
    }

    /// A sheet of columns by rows; `point` tells x, y and how far over the skin, from the shares of
    /// the way to the right and up. Columns go to +X.
    fn sheet(
        &self,
        counts: [usize; 2],
        point: impl Fn(f32, f32) -> V3,
        uv: impl Fn(f32, f32, V3) -> [f32; 2],
    ) -> Sheet {
        let mut surface = Surface::default();
        let mut places = Vec::new();
        for row in 0..=counts[1] {
            for column in 0..=counts[0] {
                let (right, up) = (real(column) / real(counts[0]), real(row) / real(counts[1]));
                let at = point(right, up);
                let (lifted, normal) = self.relief.lift(at.x, at.y, at.z);
                surface.at.push(lifted);
                surface.normal.push(normal);
                places.push(uv(right, up, at));
            }
        }
        let wide = counts[0] + 1;
        for row in 0..counts[1] {
            for column in 0..counts[0] {
                let at = row * wide + column;
                surface.corners.push([at, at + 1, at + wide + 1]);
                surface.corners.push([at, at + wide + 1, at + wide]);
            }
        }
        Sheet { surface, uv: places, hold: self.head() }
    }

    /// A brow: a soft ridge, thick towards the nose.
    fn brow(&self, sign: f32, mood: &Mood) -> Sheet {
        let features = &self.figure.looks.features;
        let apart = features.eye_apart;
        let base = 0.0445 + features.brow_high * 0.003 + mood.brow_up;
        let tilt = features.brow_tilt * 0.06 + mood.brow_tilt;
        let middle = |share: f32| {
            let x = mix(0.019 - mood.brow_in, 0.08, share) * apart;
            let arch = 0.0075 * (1.0 - ((share - 0.58) / 0.58).powi(2));
            v3(x * sign, base + arch + tilt * (0.5 - share) * 0.5, 0.0)
        };
        let thick = 0.0062 * features.brow_thick;
        // From the inner end to the outer one on both sides, but always towards +X.
        let share = |right: f32| if sign > 0.0 { right } else { 1.0 - right };
        let mut sheet = self.sheet(
            [9, 4],
            |right, up| {
                let along = share(right);
                let width = thick * (1.0 - 0.62 * along) * end_taper(along);
                let over = (up * PI).sin() * 0.0052 - 0.0012;
                middle(along) + v3(0.0, (up - 0.5) * 2.0 * width, over)
            },
            |_, up, _| strip(Strip::Brow, up),
        );
        // The ridge is round: its edges look up and down.
        for (at, normal) in sheet.surface.normal.iter_mut().enumerate() {
            let up = real(at / 10) / 4.0;
            *normal = (*normal + v3(0.0, (up - 0.5) * 1.6, 0.0)).unit();
        }
        sheet
    }

    /// The mouth in bands from below: lower lip, tongue, dark, teeth, upper lip.
    fn mouth(&self, mood: &Mood, sheets: &mut Vec<Sheet>) {
        let features = &self.figure.looks.features;
        let half = 0.0275 * features.mouth_width * mood.wide;
        let smile = 0.0072 * (features.smile + mood.smile);
        let line = |right: f32| {
            let side = right * 2.0 - 1.0;
            let open = (1.0 - side * side).max(0.0).powf(0.62);
            let middle = -0.0835 + smile * (side * side - 0.45);
            let (low, high) = (middle - mood.open_down * open, middle + mood.open_up * open);
            // Lips are thinnest at the corners.
            let lip = 0.0008 + 0.0016 * open;
            let inside = high - low;
            [
                low - lip * 1.1,
                low,
                low + inside * 0.34,
                low + inside * (1.0 - mood.teeth),
                high,
                high + lip,
            ]
        };
        let bands = [
            (Strip::Lip, 0.0024),
            (Strip::Tongue, 0.0012),
            (Strip::Mouth, 0.0012),
            (Strip::Teeth, 0.0014),
            (Strip::Lip, 0.0024),
        ];
        for (number, (colour, over)) in bands.into_iter().enumerate() {
            sheets.push(self.sheet(
                [MOUTH_COLUMNS, 1],
                |right, up| {
                    // Columns gather at the corners, where the line bends most.
                    let right = (1.0 - (right * PI).cos()) * 0.5;
                    let lines = line(right);
                    let y = mix(lines[number], lines[number + 1], up);
                    v3((right * 2.0 - 1.0) * half, y, over)
                },
                |_, up, _| strip(colour, up),
            ));
        }
    }
}

/// Rounds both ends of a stroke.
fn end_taper(along: f32) -> f32 {
    let end = along.min(1.0 - along);
    smooth(-0.06, 0.13, end).sqrt()
}

/// One eye.
struct Eye<'a> {
    features: &'a Features<'a>,
    sign: f32,
    half: f32,
    up: f32,
    down: f32,
    /// How much of the eye the lids cover.
    closed: f32,
    under: f32,
}

impl<'a> Eye<'a> {
    fn new(features: &'a Features<'a>, sign: f32, lid: f32, under: f32) -> Eye<'a> {
        let shape = &features.figure.looks.features;
        // A mood closes what is still open, or opens what the lid covers at rest.
        let closed = if lid >= 0.0 { mix(shape.lid, 1.0, lid) } else { shape.lid * (1.0 + lid) };
        Eye {
            features,
            sign,
            half: 0.0285 * shape.eye_width,
            up: 0.0335 * shape.eye_height,
            down: 0.0305 * shape.eye_height,
            closed,
            under: under.max(0.07),
        }
    }

    /// From the eye's own plane, where +X is outwards, to that of the face.
    fn place(&self, x: f32, y: f32, over: f32) -> V3 {
        let shape = &self.features.figure.looks.features;
        let (sin, cos) = shape.eye_tilt.sin_cos();
        let (x, y) = (x * cos - y * sin, x * sin + y * cos);
        v3((0.047 * shape.eye_apart + x) * self.sign, y - 0.006, over)
    }

    /// The share along the eye, from the inner corner to the outer, of a column that counts to +X.
    fn along(&self, right: f32) -> f32 {
        let side = -(right * PI).cos();
        side * self.sign
    }

    fn upper(&self, side: f32) -> f32 {
        self.up * (1.0 - side.abs().powf(2.4)).max(0.0).powf(0.52)
    }

    fn lower(&self, side: f32) -> f32 {
        -self.down * (1.0 - side.abs().powf(2.2)).max(0.0).powf(0.55)
    }

    /// How far the white stands out: it is a shallow dome.
    fn dome(&self, x: f32, y: f32) -> f32 {
        let out = (x / self.half).powi(2) + (y / self.up).powi(2);
        WHITE_OVER + 0.0042 * (1.0 - out).clamp(0.0, 1.0)
    }

    fn white(&self) -> Sheet {
        self.features.sheet(
            [EYE_COLUMNS, 4],
            |right, up| {
                let side = self.along(right);
                let (x, y) = (side * self.half, mix(self.lower(side), self.upper(side), up));
                self.place(x, y, self.dome(x, y))
            },
            |right, up, _| place(WHITE, right, up),
        )
    }

    /// A disc on the dome, held by the bone of the eye.
    fn iris(&self) -> Sheet {
        let name = if self.sign > 0.0 { "leftEye" } else { "rightEye" };
        let size = (self.half * 0.79, self.up * 0.82);
        let mut surface = Surface::default();
        let mut uv = Vec::new();
        for ring in 0..3 {
            let share = real(ring) / 2.0;
            let corners = if ring == 0 { 1 } else { IRIS_CORNERS };
            for corner in 0..corners {
                let (sin, cos) = (real(corner) / real(IRIS_CORNERS) * TAU).sin_cos();
                // In the plane of the face, so that the light in both eyes is on one side.
                let (x, y) = (cos * size.0 * share * self.sign, sin * size.1 * share);
                let (x, y) = (x - 0.0018, y - 0.001);
                let at = self.place(x, y, self.dome(x, y) + IRIS_OVER);
                let (lifted, normal) = self.features.relief.lift(at.x, at.y, at.z);
                surface.at.push(lifted);
                surface.normal.push(normal);
                uv.push(place(IRIS, 0.5 + cos * share * 0.48, 0.5 + sin * share * 0.48));
            }
        }
        for corner in 0..IRIS_CORNERS {
            let next = (corner + 1) % IRIS_CORNERS;
            let (inner, outer) = (1, 1 + IRIS_CORNERS);
            surface.corners.push([0, inner + corner, inner + next]);
            surface.corners.push([inner + corner, outer + corner, outer + next]);
            surface.corners.push([inner + corner, outer + next, inner + next]);
        }
        Sheet { surface, uv, hold: held_by(self.features.figure.rig.find(name)) }
    }

    /// Where the two lids meet when closed: low, and higher when the lower lid is raised.
    fn meeting(&self, side: f32) -> f32 {
        mix(self.lower(side) * 0.97, self.upper(side) * 0.45, self.under)
    }

    /// The edge of the upper lid.
    fn edge(&self, side: f32) -> f32 {
        mix(self.upper(side), self.meeting(side), self.closed)
    }

    fn skin_uv(at: V3) -> [f32; 2] {
        place(FACE, at.x / FACE_METRES + 0.5, at.y / FACE_METRES + 0.5)
    }

    /// The upper lid, from above the eye to its edge.
    fn lid(&self) -> Sheet {
        self.lid_sheet(4, |side, up| {
            let top = self.upper(side) + 0.0035;
            mix(self.edge(side), top, up)
        })
    }

    /// The lower lid, from below the eye up to its edge.
    fn under_lid(&self) -> Sheet {
        self.lid_sheet(2, |side, up| {
            let low = self.lower(side) - 0.002;
            let edge = mix(self.lower(side) + 0.0005, self.meeting(side), self.under);
            mix(edge, low, up)
        })
    }

    /// A lid by its height over a share of its length; `up` 1 is where it grows from the skin.
    fn lid_sheet(&self, rows: usize, height: impl Fn(f32, f32) -> f32) -> Sheet {
        let mut sheet = self.features.sheet(
            [EYE_COLUMNS, rows],
            |right, up| {
                let side = self.along(right);
                let (x, y) = (side * self.half * 1.01, height(side, up));
                // It sinks into the skin beyond the eye, and floats over it elsewhere.
                let (low, high) = (self.lower(side), self.upper(side));
                let inside = smooth(0.003, 0.0, y - high) * smooth(0.002, 0.0, low - y);
                let corner = 1.0 - side.abs().powi(6);
                let over = mix(-0.0006, self.dome(x, y) + LID_OVER * corner, inside);
                self.place(x, y, over)
            },
            |_, _, at| Self::skin_uv(at),
        );
        // Sheets are wound for rows that go up; those of the lower lid go down.
        if height(0.0, 1.0) < height(0.0, 0.0) {
            for corners in &mut sheet.surface.corners {
                corners.swap(1, 2);
            }
        }
        sheet
    }

    /// The dark line along the edge of the upper lid, drawn out at the outer corner.
    fn lash(&self) -> Sheet {
        let lashes = self.features.figure.looks.features.lashes;
        self.features.sheet(
            [EYE_COLUMNS, 2],
            |right, up| {
                let side = self.along(right);
                let outer = smooth(0.35, 1.0, side);
                let thick = 0.0056 * lashes * (0.55 + 0.45 * smooth(-1.0, 0.2, side));
                let x = side * self.half * (1.01 + 0.06 * outer * lashes);
                let wing = 0.0028 * lashes * outer * (1.0 - self.closed);
                let tip = smooth(1.02, 0.86, side.abs());
                let y = self.edge(side) + wing + (up - 0.35) * thick * (0.12 + 0.88 * tip);
                self.place(x, y, self.dome(x, y) + LID_OVER + LASH_OVER)
            },
            |_, up, _| paint::strip(Strip::Lash, up),
        )
    }
}
