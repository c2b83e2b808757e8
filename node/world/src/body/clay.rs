//! Shapes to be blended like clay: signed distances, in metres, negative inside.

use crate::vector::{V3, v3};

/// A piece of clay.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// A line with a radius at each end.
    Cone { from: V3, along: V3, inverse: f32, radius: f32, widening: f32 },
    /// An ellipsoid, turned about +X by an angle whose sine and cosine these are.
    Egg { centre: V3, inverse: V3, sin: f32, cos: f32 },
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    shape: Shape,
    blend: f32,
    /// A ball around the piece: what is far from it need not be measured exactly.
    middle: V3,
    around: f32,
}

/// Pieces, each melted into those before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Clay {
    pieces: Vec<Piece>,
}

/// Far from everything.
const FAR: f32 = 10.0;

impl Clay {
    pub(super) fn new() -> Clay {
        Clay::default()
    }

    /// A limb between two points, blended into the rest over that many metres.
    pub(super) fn cone(&mut self, from: V3, to: V3, radii: [f32; 2], blend: f32) -> &mut Clay {
        let along = to - from;
        let shape = Shape::Cone {
            from,
            along,
            inverse: 1.0 / along.dot(along).max(1e-9),
            radius: radii[0],
            widening: radii[1] - radii[0],
        };
        let around = along.length() * 0.5 + radii[0].max(radii[1]);
        self.pieces.push(Piece { shape, blend, middle: from.lerp(to, 0.5), around });
        self
    }

    /// A limb through several points, each with its radius.
    pub(super) fn tube(&mut self, points: &[(V3, f32)], blend: f32) -> &mut Clay {
        for pair in points.windows(2) {
            self.cone(pair[0].0, pair[1].0, [pair[0].1, pair[1].1], blend);
        }
        self
    }

    /// An ellipsoid.
    pub(super) fn egg(&mut self, centre: V3, radii: V3, blend: f32) -> &mut Clay {
        self.turned_egg(centre, radii, 0.0, blend)
    }

    /// An ellipsoid that leans to the front by an angle in radians.
    pub(super) fn turned_egg(&mut self, centre: V3, radii: V3, lean: f32, blend: f32) -> &mut Clay {
        let inverse = v3(1.0 / radii.x, 1.0 / radii.y, 1.0 / radii.z);
        let (sin, cos) = lean.sin_cos();
        let shape = Shape::Egg { centre, inverse, sin, cos };
        let around = radii.x.max(radii.y).max(radii.z);
        self.pieces.push(Piece { shape, blend, middle: centre, around });
        self
    }

    /// The same on both sides of the body: `build` adds the left side (+X), told its sign.
    pub(super) fn both(&mut self, build: impl Fn(&mut Clay, f32)) -> &mut Clay {
        build(self, 1.0);
        build(self, -1.0);
        self
    }

    /// All pieces of another lump.
    pub(super) fn join(&mut self, other: &Clay) -> &mut Clay {
        self.pieces.extend_from_slice(&other.pieces);
        self
    }

    /// How far it is to the surface.
    pub(super) fn at(&self, point: V3) -> f32 {
        let mut distance = FAR;
        for piece in &self.pieces {
            // A piece that far away changes nothing of what is already nearer.
            let reach = distance + piece.blend + piece.around;
            let away = point - piece.middle;
            if reach < 0.0 || away.dot(away) > reach * reach {
                continue;
            }
            distance = melt(distance, piece.shape.at(point), piece.blend);
        }
        distance
    }
}

impl Shape {
    fn at(&self, point: V3) -> f32 {
        match *self {
            Shape::Cone { from, along, inverse, radius, widening } => {
                let rest = point - from;
                let share = (rest.dot(along) * inverse).clamp(0.0, 1.0);
                (rest - along * share).length() - (radius + widening * share)
            }
            Shape::Egg { centre, inverse, sin, cos } => {
                let rest = point - centre;
                let rest = v3(rest.x, rest.y * cos + rest.z * sin, rest.z * cos - rest.y * sin);
                let scaled = rest.times(inverse);
                let near = scaled.length();
                let slope = scaled.times(inverse).length();
                // At the very centre there is no slope; any depth will do.
                if slope < 1e-6 { -1.0 / inverse.x } else { near * (near - 1.0) / slope }
            }
        }
    }
}

/// The nearer of two, rounded over `blend` where both are near.
pub(super) fn melt(a: f32, b: f32, blend: f32) -> f32 {
    let near = (blend - (a - b).abs()).max(0.0);
    if near == 0.0 { a.min(b) } else { a.min(b) - near * near / (blend * 4.0) }
}

/// What is inside both, with an edge rounded over `blend`: `b` cuts `a`.
pub(super) fn cut(a: f32, b: f32, blend: f32) -> f32 {
    -melt(-a, -b, blend)
}
