//! How much of the sky each corner sees, baked into the colours: what stands close together is darker.

use super::{
    arithmetic::{Chance, V3, real, steps, v3},
    mesh::Mesh,
};

/// The side of a cell, in metres.
const CELL: f32 = 0.25;
const LOW: V3 = v3(-56.0, -2.0, -60.0);
const CELLS: [usize; 3] = [448, 60, 464];
/// Where along a ray it is asked whether something is in the way, and how much that counts.
const STOPS: [(f32, f32); 6] =
    [(0.2, 1.0), (0.5, 0.9), (0.9, 0.75), (1.5, 0.6), (2.3, 0.4), (3.4, 0.25)];
const RAYS: usize = 14;

/// Which cells of the space over the plaza hold something.
pub(super) struct Occupied {
    cells: Vec<bool>,
    rays: Vec<V3>,
}

impl Occupied {
    pub(super) fn new() -> Self {
        let mut chance = Chance::new(77);
        let rays = (0..RAYS).map(|_| chance.direction()).collect();
        Self { cells: vec![false; CELLS.iter().product()], rays }
    }

    /// Marks the cells that the triangles of a mesh pass through.
    pub(super) fn fill(&mut self, mesh: &Mesh) {
        for [a, b, c] in mesh.triangles() {
            let (along, aside) = (b - a, c - a);
            let longest = along.length().max(aside.length()).max((c - b).length());
            let count = steps(longest, CELL * 0.9);
            for one in 0..=count {
                for two in 0..=count - one {
                    let (share, other) = (real(one) / real(count), real(two) / real(count));
                    if let Some(cell) = cell(a + along * share + aside * other) {
                        self.cells[cell] = true;
                    }
                }
            }
        }
    }

    /// Darkens every corner of a mesh by what is around it.
    pub(super) fn darken(&self, mesh: &mut Mesh, most: f32) {
        for at in 0..mesh.points.len() {
            let hidden = self.hidden(mesh.points[at], mesh.normals[at]) * most;
            let colour = &mut mesh.colours[at];
            // Evening shade is violet rather than grey: red goes first, blue last.
            for (channel, loss) in colour.iter_mut().zip([0.92, 0.9, 0.74]) {
                *channel *= 1.0 - hidden * loss;
            }
        }
    }

    /// From 0 under the open sky to 1 in a closed corner.
    fn hidden(&self, point: V3, normal: V3) -> f32 {
        let start = point + normal * 0.34;
        let (mut hidden, mut all) = (0.0, 0.0);
        for ray in &self.rays {
            let facing = ray.dot(normal);
            let out = if facing < 0.0 { *ray - normal * (2.0 * facing) } else { *ray };
            let weight = facing.abs() + 0.15;
            all += weight;
            let stop = STOPS.iter().find(|(far, _)| self.holds(start + out * *far));
            hidden += weight * stop.map_or(0.0, |(_, share)| *share);
        }
        hidden / all
    }

    fn holds(&self, point: V3) -> bool {
        cell(point).is_some_and(|cell| self.cells[cell])
    }
}

/// The place of a point's cell in the list, where the space reaches so far.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is below zero has been refused before"
)]
fn cell(point: V3) -> Option<usize> {
    let inside = (point - LOW) * (1.0 / CELL);
    if inside.x < 0.0 || inside.y < 0.0 || inside.z < 0.0 {
        return None;
    }
    let [x, y, z] = [inside.x as usize, inside.y as usize, inside.z as usize];
    let holds = x < CELLS[0] && y < CELLS[1] && z < CELLS[2];
    holds.then(|| (y * CELLS[2] + z) * CELLS[0] + x)
}
