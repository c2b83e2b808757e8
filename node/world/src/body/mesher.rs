//! From clay to triangles: the surface where a distance is zero, as evenly spread quads.

use crate::vector::{V3, real, v3, whole};

/// A surface that bends smoothly.
#[derive(Clone, Debug, Default)]
pub(super) struct Surface {
    pub(super) at: Vec<V3>,
    pub(super) normal: Vec<V3>,
    pub(super) corners: Vec<[usize; 3]>,
}

/// The part of space to look at, and how large the quads become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) low: V3,
    pub(super) high: V3,
    pub(super) cell: V3,
}

/// Points along each edge of a block that is looked at as a whole first.
const BLOCK: usize = 4;
const NONE: usize = usize::MAX;

struct Samples {
    grid: Grid,
    counts: [usize; 3],
    values: Vec<f32>,
}

/// The surface of a field within the grid; it stays open where it leaves it.
pub(super) fn surface(field: &dyn Fn(V3) -> f32, grid: Grid) -> Surface {
    let samples = Samples::take(field, grid);
    let mut surface = Surface::default();
    let [nx, ny, nz] = samples.counts;
    let mut places = vec![NONE; nx * ny * nz];
    let mut slopes = Vec::new();
    for z in 0..nz - 1 {
        for y in 0..ny - 1 {
            for x in 0..nx - 1 {
                if let Some((point, slope)) = samples.crossing([x, y, z]) {
                    places[samples.index([x, y, z])] = surface.at.len();
                    surface.at.push(point);
                    slopes.push(slope);
                }
            }
        }
    }
    samples.connect(&places, &mut surface);
    let reach = grid.cell.x.min(grid.cell.y).min(grid.cell.z);
    for (point, slope) in surface.at.iter_mut().zip(slopes) {
        let (settled, normal) = settle(field, *point, slope, reach);
        *point = settled;
        surface.normal.push(normal);
    }
    surface
}

/// Moves a point near the surface onto it, and tells which way is out there: first along the slope of
/// the samples, which is at hand, then along that of the field.
fn settle(field: &dyn Fn(V3) -> f32, start: V3, slope: V3, reach: f32) -> (V3, V3) {
    let onto =
        |point: V3, out: V3, distance: f32| point - out * distance.clamp(-reach * 0.4, reach * 0.4);
    let near = onto(start, slope.unit(), field(start));
    let (slope, distance) = around(field, near, reach * 0.2);
    let out = slope.unit();
    (onto(near, out, distance), out)
}

/// The slope of a field and its value at a point, from four corners of a tetrahedron around it.
fn around(field: &dyn Fn(V3) -> f32, at: V3, step: f32) -> (V3, f32) {
    let corners =
        [v3(1.0, -1.0, -1.0), v3(-1.0, -1.0, 1.0), v3(-1.0, 1.0, -1.0), v3(1.0, 1.0, 1.0)];
    let mut slope = V3::default();
    let mut sum = 0.0;
    for corner in corners {
        let value = field(at + corner * step);
        slope = slope + corner * value;
        sum += value;
    }
    (slope, sum * 0.25)
}

impl Samples {
    fn take(field: &dyn Fn(V3) -> f32, grid: Grid) -> Samples {
        let size = grid.high - grid.low;
        let count = |length: f32, cell: f32| whole((length / cell).ceil()) + 1;
        let counts =
            [count(size.x, grid.cell.x), count(size.y, grid.cell.y), count(size.z, grid.cell.z)];
        let values = vec![f32::MAX; counts.iter().product()];
        let mut samples = Samples { grid, counts, values };
        let blocks = counts.map(|count| count.div_ceil(BLOCK));
        for z in 0..blocks[2] {
            for y in 0..blocks[1] {
                for x in 0..blocks[0] {
                    samples.fill(field, [x * BLOCK, y * BLOCK, z * BLOCK]);
                }
            }
        }
        samples
    }

    /// Fills a block, with one value where the surface is too far away to pass through it.
    fn fill(&mut self, field: &dyn Fn(V3) -> f32, start: [usize; 3]) {
        let half = self.grid.cell * (real(BLOCK) * 0.5);
        let middle = field(self.point(start) + half);
        let far = middle.abs() > half.length() * 1.2;
        let end = [0, 1, 2].map(|axis| (start[axis] + BLOCK).min(self.counts[axis]));
        for z in start[2]..end[2] {
            for y in start[1]..end[1] {
                for x in start[0]..end[0] {
                    let value = if far { middle } else { field(self.point([x, y, z])) };
                    let index = self.index([x, y, z]);
                    self.values[index] = value;
                }
            }
        }
    }

    fn point(&self, at: [usize; 3]) -> V3 {
        self.grid.low + v3(real(at[0]), real(at[1]), real(at[2])).times(self.grid.cell)
    }

    fn index(&self, at: [usize; 3]) -> usize {
        at[0] + self.counts[0] * (at[1] + self.counts[1] * at[2])
    }

    /// The middle of where the surface crosses the edges of a cell, if it does, and the slope there.
    fn crossing(&self, at: [usize; 3]) -> Option<(V3, V3)> {
        let corner = |number: usize| {
            let place = [at[0] + (number & 1), at[1] + (number >> 1 & 1), at[2] + (number >> 2)];
            self.values[self.index(place)]
        };
        let values: [f32; 8] = std::array::from_fn(corner);
        let inside = values.iter().filter(|value| **value < 0.0).count();
        if inside == 0 || inside == 8 {
            return None;
        }
        let (mut sum, mut crossings) = (V3::default(), 0);
        for from in 0..8_usize {
            for axis in 0..3 {
                let to = from | 1 << axis;
                if to == from || (values[from] < 0.0) == (values[to] < 0.0) {
                    continue;
                }
                let share = values[from] / (values[from] - values[to]);
                let mut part = [from & 1, from >> 1 & 1, from >> 2].map(real);
                part[axis] = share;
                sum = sum + v3(part[0], part[1], part[2]);
                crossings += 1;
            }
        }
        let rise = |axis: usize| -> f32 {
            let signed = |(corner, value): (usize, &f32)| {
                if corner >> axis & 1 == 1 { *value } else { -value }
            };
            values.iter().enumerate().map(signed).sum()
        };
        let V3 { x, y, z } = self.grid.cell;
        let slope = v3(rise(0) / x, rise(1) / y, rise(2) / z);
        Some((self.point(at) + (sum * (1.0 / real(crossings))).times(self.grid.cell), slope))
    }

    /// Joins the four cells around every edge that the surface crosses.
    fn connect(&self, places: &[usize], surface: &mut Surface) {
        let [nx, ny, nz] = self.counts;
        for z in 1..nz - 1 {
            for y in 1..ny - 1 {
                for x in 1..nx - 1 {
                    let here = self.values[self.index([x, y, z])] < 0.0;
                    for axis in 0..3 {
                        let mut next = [x, y, z];
                        next[axis] += 1;
                        if here == (self.values[self.index(next)] < 0.0) {
                            continue;
                        }
                        let quad = self.around([x, y, z], axis).map(|cell| places[cell]);
                        if quad.iter().all(|place| *place != NONE) {
                            split(quad, here, surface);
                        }
                    }
                }
            }
        }
    }

    /// The four cells that share the edge from a point along an axis, in turn.
    fn around(&self, at: [usize; 3], axis: usize) -> [usize; 4] {
        let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
        [(0, 0), (1, 0), (1, 1), (0, 1)].map(|(du, dv)| {
            let mut cell = at;
            cell[u] -= du;
            cell[v] -= dv;
            self.index(cell)
        })
    }
}

/// Two triangles along the shorter diagonal, wound so that they face outwards.
fn split(quad: [usize; 4], outwards: bool, surface: &mut Surface) {
    let at = |corner: usize| surface.at[quad[corner]];
    let first = (at(0) - at(2)).length() <= (at(1) - at(3)).length();
    let triangles = if first { [[0, 1, 2], [0, 2, 3]] } else { [[0, 1, 3], [1, 2, 3]] };
    for corners in triangles {
        let [a, b, c] = corners.map(|corner| quad[corner]);
        surface.corners.push(if outwards { [a, b, c] } else { [a, c, b] });
    }
}

impl Surface {
    /// Without the triangles that lie wholly inside something else, deeper than `depth`.
    pub(super) fn without(mut self, hidden: &dyn Fn(V3) -> f32, depth: f32) -> Surface {
        let inside: Vec<bool> = self.at.iter().map(|point| hidden(*point) < -depth).collect();
        self.corners.retain(|corners| !corners.iter().all(|corner| inside[*corner]));
        self.compacted()
    }

    /// The same on the other side of the body.
    pub(super) fn mirrored(&self) -> Surface {
        Surface {
            at: self.at.iter().map(|point| point.mirrored()).collect(),
            normal: self.normal.iter().map(|normal| normal.mirrored()).collect(),
            corners: self.corners.iter().map(|[a, b, c]| [*a, *c, *b]).collect(),
        }
    }

    /// Without the points that no triangle uses.
    pub(super) fn compacted(self) -> Surface {
        let mut places = vec![NONE; self.at.len()];
        let mut out = Surface::default();
        for corners in &self.corners {
            out.corners.push(corners.map(|corner| {
                if places[corner] == NONE {
                    places[corner] = out.at.len();
                    out.at.push(self.at[corner]);
                    out.normal.push(self.normal[corner]);
                }
                places[corner]
            }));
        }
        out
    }
}
