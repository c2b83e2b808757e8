//! Thinning: a surface with fewer triangles that keeps within a given distance of the first.
//!
//! Edges are collapsed into one of their ends, cheapest first, where the planes of the triangles that
//! met there (summed as quadrics, after Garland and Heckbert) stay near. So points and normals that
//! remain are those of the clay.

use super::mesher::Surface;
use crate::vector::{V3, real};

/// Rounds with a growing limit: cheap collapses come first without a queue.
const ROUNDS: usize = 6;

/// Planes summed: the mean square distance of a point to them.
#[derive(Clone, Copy, Default)]
struct Quadric {
    square: [f32; 6],
    linear: V3,
    constant: f32,
    weight: f32,
}

impl Quadric {
    fn plane(normal: V3, offset: f32, weight: f32) -> Quadric {
        let V3 { x, y, z } = normal;
        let square = [x * x, x * y, x * z, y * y, y * z, z * z].map(|number| number * weight);
        let constant = offset * offset * weight;
        Quadric { square, linear: normal * (offset * weight), constant, weight }
    }

    fn plus(mut self, other: &Quadric) -> Quadric {
        for (sum, more) in self.square.iter_mut().zip(other.square) {
            *sum += more;
        }
        self.linear = self.linear + other.linear;
        self.constant += other.constant;
        self.weight += other.weight;
        self
    }

    fn at(&self, point: V3) -> f32 {
        let [xx, xy, xz, yy, yz, zz] = self.square;
        let V3 { x, y, z } = point;
        let square =
            xx * x * x + yy * y * y + zz * z * z + 2.0 * (xy * x * y + xz * x * z + yz * y * z);
        let sum = square + 2.0 * self.linear.dot(point) + self.constant;
        (sum / self.weight.max(1e-12)).max(0.0)
    }
}

/// What is known of a surface while it is thinned.
struct Work<'a> {
    surface: &'a mut Surface,
    /// Points from a near origin: far from it, squares lose the millimetres.
    at: Vec<V3>,
    quadrics: Vec<Quadric>,
    /// The triangles at each point; some may be gone.
    around: Vec<Vec<usize>>,
    alive: Vec<bool>,
    /// Points at an open edge, which stay where they are.
    rim: Vec<bool>,
    longest: f32,
}

/// How far a thinned body may be from its clay, in metres: less than two metres away shows.
pub(super) const TOLERANCE: f32 = 0.0015;

/// Thins a surface to within about `metres`, with no new edge longer than `longest`.
pub(super) fn thin(mut surface: Surface, metres: f32, longest: f32) -> Surface {
    if surface.corners.is_empty() {
        return surface;
    }
    let mut work = Work::new(&mut surface, longest);
    for round in 0..ROUNDS {
        let share = real(round + 1) / real(ROUNDS);
        work.round((metres * share).powi(2));
    }
    let alive = std::mem::take(&mut work.alive);
    let mut alive = alive.iter();
    surface.corners.retain(|_| *alive.next().expect("one for each triangle"));
    surface.compacted()
}

impl Work<'_> {
    fn new(surface: &mut Surface, longest: f32) -> Work<'_> {
        let count = surface.at.len();
        let middle = surface.at.iter().fold(V3::default(), |sum, at| sum + *at);
        let middle = middle * (1.0 / real(count));
        let at: Vec<V3> = surface.at.iter().map(|point| *point - middle).collect();
        let mut quadrics = vec![Quadric::default(); count];
        let mut around = vec![Vec::with_capacity(8); count];
        for (number, corners) in surface.corners.iter().enumerate() {
            let [a, b, c] = corners.map(|corner| at[corner]);
            let cross = (b - a).cross(c - a);
            let normal = cross.unit();
            let quadric = Quadric::plane(normal, -normal.dot(a), cross.length());
            for corner in corners {
                quadrics[*corner] = quadrics[*corner].plus(&quadric);
                around[*corner].push(number);
            }
        }
        let alive = vec![true; surface.corners.len()];
        let mut work = Work { surface, at, quadrics, around, alive, rim: Vec::new(), longest };
        work.rim = (0..count).map(|point| work.is_rim(point)).collect();
        work
    }

    /// Whether an edge of the point belongs to one triangle only.
    fn is_rim(&self, point: usize) -> bool {
        let mut ends: Vec<usize> = self.around[point]
            .iter()
            .flat_map(|triangle| self.surface.corners[*triangle])
            .filter(|corner| *corner != point)
            .collect();
        ends.sort_unstable();
        ends.chunk_by(|a, b| a == b).any(|same| same.len() != 2)
    }

    /// Collapses what costs less than `limit`, no two neighbours in one round.
    fn round(&mut self, limit: f32) {
        let mut touched = vec![false; self.at.len()];
        for point in 0..self.at.len() {
            if touched[point] || self.rim[point] || self.around[point].is_empty() {
                continue;
            }
            // Most points are at no cheap edge: only of the others is it asked who is around them.
            let mut neighbours = Vec::new();
            let mut best = (limit, usize::MAX);
            for number in 0..self.around[point].len() {
                let end = self.next(point, self.around[point][number]);
                if touched[end] || (self.at[end] - self.at[point]).length() > self.longest {
                    continue;
                }
                let cost = self.quadrics[point].plus(&self.quadrics[end]).at(self.at[end]);
                if cost >= best.0 {
                    continue;
                }
                if neighbours.is_empty() {
                    neighbours = self.neighbours(point);
                }
                if self.may_collapse(point, end, &neighbours) {
                    best = (cost, end);
                }
            }
            if best.1 != usize::MAX {
                self.collapse(point, best.1);
                touched[best.1] = true;
                for neighbour in neighbours {
                    touched[neighbour] = true;
                }
            }
        }
    }

    /// The corner after a point in a triangle; around a point that is at no rim, each neighbour is the
    /// next one of a single triangle.
    fn next(&self, point: usize, triangle: usize) -> usize {
        let [a, b, c] = self.surface.corners[triangle];
        if a == point {
            b
        } else if b == point {
            c
        } else {
            a
        }
    }

    fn neighbours(&self, point: usize) -> Vec<usize> {
        let mut ends: Vec<usize> = self.around[point]
            .iter()
            .flat_map(|triangle| self.surface.corners[*triangle])
            .filter(|corner| *corner != point)
            .collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Whether the surface stays whole, unfolded and without slivers when `from` goes to `to`.
    fn may_collapse(&self, from: usize, to: usize, neighbours: &[usize]) -> bool {
        let others = self.neighbours(to);
        if neighbours.iter().filter(|end| others.binary_search(end).is_ok()).count() != 2 {
            return false;
        }
        self.around[from].iter().all(|triangle| {
            let corners = self.surface.corners[*triangle];
            if corners.contains(&to) {
                return true;
            }
            let moved = corners.map(|corner| if corner == from { to } else { corner });
            let [a, b, c] = moved.map(|corner| self.at[corner]);
            let cross = (b - a).cross(c - a);
            let side = [b - a, c - b, a - c].iter().map(|edge| edge.dot(*edge)).fold(0.0, f32::max);
            let outwards =
                moved.iter().all(|corner| self.surface.normal[*corner].dot(cross.unit()) > 0.35);
            outwards && cross.length() > side * 0.14 && side < (self.longest * 1.35).powi(2)
        })
    }

    fn collapse(&mut self, from: usize, to: usize) {
        self.quadrics[to] = self.quadrics[to].plus(&self.quadrics[from]);
        for triangle in std::mem::take(&mut self.around[from]) {
            if self.surface.corners[triangle].contains(&to) {
                self.alive[triangle] = false;
                for corner in self.surface.corners[triangle] {
                    self.around[corner].retain(|other| *other != triangle);
                }
            } else {
                for corner in &mut self.surface.corners[triangle] {
                    if *corner == from {
                        *corner = to;
                    }
                }
                self.around[to].push(triangle);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mesher::{Grid, surface};
    use super::*;
    use crate::vector::v3;

    #[test]
    fn a_thinned_ball_is_still_a_ball() {
        let ball = |point: V3| point.length() - 0.1;
        let cell = v3(0.01, 0.01, 0.01);
        let grid = Grid { low: v3(-0.12, -0.12, -0.12), high: v3(0.12, 0.12, 0.12), cell };
        let whole = surface(&ball, grid);
        let before = whole.corners.len();
        let thinned = thin(whole, 0.001, 0.06);
        assert!(thinned.corners.len() * 2 < before, "{} of {before}", thinned.corners.len());
        for corners in &thinned.corners {
            let [a, b, c] = corners.map(|corner| thinned.at[corner]);
            let middle = (a + b + c) * (1.0 / 3.0);
            assert!((middle.length() - 0.1).abs() < 0.004);
            assert!((b - a).cross(c - a).dot(middle) > 0.0);
        }
    }
}
