//! Meshes that carry a colour at every corner, and the simple bodies that things are put together of.

use std::{collections::BTreeMap, f32::consts::TAU};

use super::arithmetic::{Frame, UP, V3, mix, part, real, v3};

/// A linear colour.
pub(super) type Colour = [f32; 3];

/// A colour as the web writes it, in sRGB.
pub(super) fn hex(code: u32) -> Colour {
    let [_, red, green, blue] = code.to_be_bytes();
    [red, green, blue].map(|byte| {
        let value = f32::from(byte) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
}

pub(super) fn blend(from: Colour, to: Colour, share: f32) -> Colour {
    let share = share.clamp(0.0, 1.0);
    [mix(from[0], to[0], share), mix(from[1], to[1], share), mix(from[2], to[2], share)]
}

/// The same colour, brighter or darker.
pub(super) fn tone(colour: Colour, factor: f32) -> Colour {
    colour.map(|value| (value * factor).clamp(0.0, 1.0))
}

/// One ring of a turned body: how far from its axis, how high, and of which colour.
pub(super) type Ring = (f32, f32, Colour);

#[derive(Clone, Default)]
pub(super) struct Mesh {
    pub(super) points: Vec<V3>,
    pub(super) normals: Vec<V3>,
    pub(super) colours: Vec<[f32; 4]>,
    pub(super) corners: Vec<u32>,
}

impl Mesh {
    /// Adds a corner and gives its number.
    pub(super) fn vertex(&mut self, point: V3, normal: V3, colour: Colour) -> u32 {
        let [red, green, blue] = colour;
        self.faded(point, normal, [red, green, blue, 1.0])
    }

    /// Adds a corner that may be seen through.
    pub(super) fn faded(&mut self, point: V3, normal: V3, colour: [f32; 4]) -> u32 {
        self.points.push(point);
        self.normals.push(normal);
        self.colours.push(colour);
        self.last()
    }

    fn last(&self) -> u32 {
        u32::try_from(self.points.len()).expect("a mesh has fewer than 2^32 corners") - 1
    }

    /// A flat face, its corners against the clock, each with its colour.
    pub(super) fn face(&mut self, corners: &[(V3, Colour)]) {
        let [(first, _), (second, _), (third, _), ..] = corners else { return };
        let normal = (*second - *first).cross(*third - *first).unit();
        let numbers: Vec<u32> =
            corners.iter().map(|(point, colour)| self.vertex(*point, normal, *colour)).collect();
        for pair in numbers[1..].windows(2) {
            self.corners.extend([numbers[0], pair[0], pair[1]]);
        }
    }

    /// A flat face of one colour.
    pub(super) fn panel(&mut self, corners: &[V3], colour: Colour) {
        let coloured: Vec<_> = corners.iter().map(|corner| (*corner, colour)).collect();
        self.face(&coloured);
    }

    /// An upright rectangle that faces +Z, from its lower middle.
    pub(super) fn pane(&mut self, foot: V3, width: f32, height: f32, low: Colour, high: Colour) {
        let half = width / 2.0;
        self.face(&[
            (foot + v3(-half, 0.0, 0.0), low),
            (foot + v3(half, 0.0, 0.0), low),
            (foot + v3(half, height, 0.0), high),
            (foot + v3(-half, height, 0.0), high),
        ]);
    }

    /// A block on its foot, without an underside, of one colour below and another above.
    pub(super) fn block(&mut self, foot: V3, size: V3, low: Colour, high: Colour) {
        self.tapered(foot, size, 1.0, low, high);
    }

    /// A block that is narrower above. Its faces share their corners: drawn flat, they still have edges.
    pub(super) fn tapered(&mut self, foot: V3, size: V3, top: f32, low: Colour, high: Colour) {
        let around = [(-1.0, 1.0), (1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)];
        let half = v3(size.x / 2.0, 0.0, size.z / 2.0);
        let below = around.map(|(x, z)| {
            self.vertex(foot + v3(x * half.x, 0.0, z * half.z), v3(x, 0.0, z).unit(), low)
        });
        let above = around.map(|(x, z)| {
            let point = foot + v3(x * half.x * top, size.y, z * half.z * top);
            self.vertex(point, v3(x, 1.0, z).unit(), high)
        });
        for at in 0..4 {
            let next = (at + 1) % 4;
            self.corners.extend([below[at], below[next], above[next]]);
            self.corners.extend([below[at], above[next], above[at]]);
        }
        self.corners.extend([above[0], above[1], above[2], above[0], above[2], above[3]]);
    }

    /// A bar of four sides from one point to another, open at its ends.
    pub(super) fn beam(&mut self, from: V3, to: V3, thick: f32, colour: Colour) {
        let along = (to - from).unit();
        let aside = if along.y.abs() > 0.9 { v3(1.0, 0.0, 0.0) } else { UP };
        let right = along.cross(aside).unit() * (thick / 2.0);
        let above = right.cross(along).unit() * (thick / 2.0);
        let around = [right + above, above - right, (right + above) * -1.0, right - above];
        let near = around.map(|out| self.vertex(from + out, out.unit(), colour));
        let far = around.map(|out| self.vertex(to + out, out.unit(), colour));
        for at in 0..4 {
            let next = (at + 1) % 4;
            self.corners.extend([near[next], near[at], far[at], near[next], far[at], far[next]]);
        }
    }

    /// A body turned about the vertical through `foot`, from its lowest ring to its last.
    pub(super) fn lathe(&mut self, foot: V3, sides: usize, rings: &[Ring]) {
        let first = self.points.len();
        for (at, (radius, height, colour)) in rings.iter().enumerate() {
            let before = rings[at.saturating_sub(1)];
            let after = rings[(at + 1).min(rings.len() - 1)];
            let slope = (after.1 - before.1, before.0 - after.0);
            for side in 0..sides {
                let (sine, cosine) = (TAU * part(side, sides)).sin_cos();
                let normal = v3(sine * slope.0, slope.1, cosine * slope.0).unit();
                let point = foot + v3(sine * radius, *height, cosine * radius);
                self.vertex(point, normal, *colour);
            }
        }
        let number = |ring: usize, side: usize| {
            u32::try_from(first + ring * sides + side % sides).expect("few corners")
        };
        for ring in 1..rings.len() {
            for side in 0..sides {
                let (low, next) = (number(ring - 1, side), number(ring - 1, side + 1));
                let (high, over) = (number(ring, side), number(ring, side + 1));
                // A ring without width is a tip: one triangle instead of two.
                if rings[ring - 1].0 > 0.0 {
                    self.corners.extend([low, next, over]);
                }
                if rings[ring].0 > 0.0 {
                    self.corners.extend([low, over, high]);
                }
            }
        }
    }

    /// A ball with bumps; its colour is asked for each direction from its middle.
    pub(super) fn ball(
        &mut self,
        ball: &Ball,
        middle: V3,
        radii: V3,
        colour: &dyn Fn(V3) -> Colour,
        bump: &dyn Fn(V3) -> f32,
    ) {
        let first = u32::try_from(self.points.len()).expect("few corners");
        for out in &ball.directions {
            let at = *out * bump(*out);
            let point = middle + v3(at.x * radii.x, at.y * radii.y, at.z * radii.z);
            let normal = v3(out.x / radii.x, out.y / radii.y, out.z / radii.z).unit();
            self.vertex(point, normal, colour(*out));
        }
        self.corners.extend(ball.faces.iter().flatten().map(|corner| first + corner));
    }

    /// Adds a mesh that was made in a frame of its own.
    pub(super) fn place(&mut self, other: &Self, frame: Frame) {
        let first = u32::try_from(self.points.len()).expect("few corners");
        self.points.extend(other.points.iter().map(|point| frame.point(*point)));
        self.normals.extend(other.normals.iter().map(|normal| frame.direction(*normal)));
        self.colours.extend(&other.colours);
        self.corners.extend(other.corners.iter().map(|corner| first + corner));
    }

    pub(super) fn triangles(&self) -> impl Iterator<Item = [V3; 3]> + '_ {
        self.corners
            .chunks_exact(3)
            .map(|triangle| [0, 1, 2].map(|at| self.points[index(triangle[at])]))
    }
}

/// The number of a corner as a place in a list.
pub(super) fn index(corner: u32) -> usize {
    usize::try_from(corner).expect("a list holds every corner")
}

/// A ball of even triangles: an icosahedron whose faces are parted so many times.
pub(super) struct Ball {
    pub(super) directions: Vec<V3>,
    faces: Vec<[u32; 3]>,
}

impl Ball {
    pub(super) fn new(partings: usize) -> Self {
        let golden = f32::midpoint(1.0, 5.0_f32.sqrt());
        let mut directions = Vec::new();
        for (one, two) in [(-1.0, golden), (1.0, golden), (-1.0, -golden), (1.0, -golden)] {
            directions.push(v3(one, two, 0.0).unit());
            directions.push(v3(0.0, one, two).unit());
            directions.push(v3(two, 0.0, one).unit());
        }
        let mut ball = Self { faces: Self::hull(&directions), directions };
        for _ in 0..partings {
            ball.part_faces();
        }
        ball
    }

    /// The faces of an icosahedron: all three corners that are neighbours, seen from outside.
    fn hull(directions: &[V3]) -> Vec<[u32; 3]> {
        let near = |a: usize, b: usize| directions[a].dot(directions[b]) > 0.4;
        let mut faces = Vec::new();
        for a in 0..12 {
            for b in a + 1..12 {
                for c in b + 1..12 {
                    if near(a, b) && near(b, c) && near(a, c) {
                        let normal =
                            (directions[b] - directions[a]).cross(directions[c] - directions[a]);
                        let outward = normal.dot(directions[a]) > 0.0;
                        let face = if outward { [a, b, c] } else { [a, c, b] };
                        faces.push(face.map(|at| u32::try_from(at).expect("one of twelve")));
                    }
                }
            }
        }
        faces
    }

    fn part_faces(&mut self) {
        let mut middles = BTreeMap::new();
        let mut faces = Vec::with_capacity(self.faces.len() * 4);
        for [a, b, c] in std::mem::take(&mut self.faces) {
            let mut middle = |one: u32, two: u32| {
                *middles.entry((one.min(two), one.max(two))).or_insert_with(|| {
                    let sum = self.directions[index(one)] + self.directions[index(two)];
                    self.directions.push(sum.unit());
                    u32::try_from(self.directions.len() - 1).expect("few corners")
                })
            };
            let (ab, bc, ca) = (middle(a, b), middle(b, c), middle(c, a));
            faces.extend([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]);
        }
        self.faces = faces;
    }
}

/// Points on a half circle that stands in the plane of +X and +Y, from +X over +Y to -X.
pub(super) fn half_circle(radius: f32, spring: f32, pieces: usize, at: usize) -> V3 {
    let (sine, cosine) = (std::f32::consts::PI * real(at) / real(pieces)).sin_cos();
    v3(cosine * radius, spring + sine * radius, 0.0)
}
