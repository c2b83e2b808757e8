//! The front of the head as a map of heights, on which the features of the face are laid.

use super::clay::Clay;
use super::figure::{Figure, Head};
use crate::vector::{V3, real, v3, whole};

/// The half-size of the map in metres of the reference, and its points along each side.
const HALF: f32 = 0.132;
const POINTS: usize = 45;

/// Heights of the skull's front over the plane through the middle of the head.
pub(super) struct Relief {
    head: Head,
    heights: Vec<f32>,
}

impl Relief {
    pub(super) fn of(figure: &Figure) -> Relief {
        let skull = figure.skull(0.0);
        let head = figure.head;
        let mut heights = Vec::with_capacity(POINTS * POINTS);
        for row in 0..POINTS {
            for column in 0..POINTS {
                heights.push(height(&skull, head, coordinate(column), coordinate(row)));
            }
        }
        Relief { head, heights }
    }

    /// The point over (x, y) that floats `over` the skin, and the way out there.
    pub(super) fn lift(&self, x: f32, y: f32, over: f32) -> (V3, V3) {
        let step = 0.004;
        let z = self.height(x, y);
        let across = self.height(x + step, y) - self.height(x - step, y);
        let upwards = self.height(x, y + step) - self.height(x, y - step);
        let out = v3(-across, -upwards, step * 2.0).unit();
        (self.head.point(x, y, z) + out * (over * self.head.scale), out)
    }

    fn height(&self, x: f32, y: f32) -> f32 {
        let along = |value: f32| {
            ((value + HALF) / (HALF * 2.0) * real(POINTS - 1)).clamp(0.0, real(POINTS) - 1.001)
        };
        let (column, row) = (along(x), along(y));
        let (left, below) = (whole(column), whole(row));
        let (right, up) = (column - real(left), row - real(below));
        let at = |dx: usize, dy: usize| self.heights[(below + dy) * POINTS + left + dx];
        let low = at(0, 0) + (at(1, 0) - at(0, 0)) * right;
        let high = at(0, 1) + (at(1, 1) - at(0, 1)) * right;
        low + (high - low) * up
    }
}

fn coordinate(number: usize) -> f32 {
    (real(number) / real(POINTS - 1) * 2.0 - 1.0) * HALF
}

/// Walks in from the front until it meets the skull; where there is none, it ends in the middle.
fn height(skull: &Clay, head: Head, x: f32, y: f32) -> f32 {
    let mut z = 0.16;
    for _ in 0..14 {
        let away = skull.at(head.point(x, y, z)) / head.scale;
        if away < 0.0004 || z <= 0.0 {
            break;
        }
        z -= away * 0.96;
    }
    z.max(0.0)
}
