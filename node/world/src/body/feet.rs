//! Shoes, and the bare legs and socks above them.

use super::clay::{Clay, cut};
use super::clothes::bare_below;
use super::figure::Figure;
use super::looks::Shoes;
use super::mesher::{Grid, Surface, surface};
use super::thin::thin;
use crate::vector::{V3, v3};

/// How high over the ground the sole reaches, in metres of the reference.
pub(super) const SOLE: f32 = 0.021;

/// The left shoe.
pub(super) fn shoe(figure: &Figure) -> Surface {
    let unit = figure.unit;
    let foot = figure.at("leftFoot");
    let at = |x: f32, y: f32, z: f32| v3(foot.x + x * unit, y * unit, z * unit);
    let (thick, high) = match figure.looks.shoes {
        Shoes::Sneakers => (1.0, 0.088),
        Shoes::Boots => (1.06, 0.165),
        Shoes::Slippers => (0.94, 0.06),
    };
    let mut clay = Clay::new();
    let wide = 0.043 * thick * unit;
    clay.egg(at(0.003, 0.026, 0.112), v3(wide, 0.04 * thick * unit, 0.056 * unit), 0.02);
    clay.cone(
        at(0.002, 0.03, 0.09),
        at(0.0, 0.036, -0.03),
        [wide * 0.93, wide * 0.86],
        0.03 * unit,
    );
    clay.egg(at(0.0, 0.03, -0.038), v3(wide * 0.86, 0.045 * unit, 0.04 * unit), 0.02 * unit);
    // The instep rises to the ankle.
    clay.cone(
        at(0.001, 0.036, 0.07),
        at(0.0, 0.066, 0.012),
        [0.032 * unit, 0.041 * unit],
        0.03 * unit,
    );
    let shaft = (0.044 + if high > 0.1 { 0.006 } else { 0.0 }) * thick * unit;
    clay.cone(at(0.0, 0.06, -0.012), at(0.0, high, -0.012), [shaft * 0.95, shaft], 0.03 * unit);
    let sole = |point: V3| {
        // A rim all around, a little wider than what stands on it.
        let rim = clay.at(v3(point.x, point.y.max(0.016 * unit), point.z)) - 0.0035 * unit;
        cut(rim, point.y - SOLE * unit, 0.004 * unit)
    };
    let field = |point: V3| {
        let upper = cut(clay.at(point), point.y - high * unit, 0.012 * unit);
        let both = super::clay::melt(upper, sole(point), 0.002 * unit);
        cut(both, 0.0005 - point.y, 0.006 * unit)
    };
    let grid = Grid {
        low: at(-0.07, -0.012, -0.1),
        high: at(0.07, high + 0.03, 0.19),
        cell: v3(0.0185, 0.0145, 0.021) * unit,
    };
    thin(surface(&field, grid), figure.tolerance * 1.25, 0.05)
}

/// How much of the panel of shoes is the sole.
pub(super) fn shoe_share(figure: &Figure, height: f32) -> f32 {
    // The sole ends at a quarter of its strip, the rest goes on to the top of a boot.
    height / (SOLE * figure.unit) * 0.25
}

/// The left leg as far as skin or socks show.
pub(super) fn bare_leg(figure: &Figure) -> Option<Surface> {
    let high = bare_below(figure)?;
    let unit = figure.unit;
    let leg = figure.leg(1.0, 0.0);
    let x = figure.at("leftFoot").x;
    let low = figure.at("leftFoot").y - 0.02 * unit;
    let grid = Grid {
        low: v3(x - 0.13 * unit, low, -0.13 * unit),
        high: v3(x + 0.13 * unit, high, 0.13 * unit),
        cell: v3(0.023, 0.042, 0.023) * unit,
    };
    Some(thin(surface(&|point| leg.at(point), grid), figure.tolerance * 1.2, 0.07))
}

/// How high socks reach.
pub(super) fn sock_height(figure: &Figure) -> f32 {
    let (ankle, knee) = (figure.at("leftFoot").y, figure.at("leftLowerLeg").y);
    let share = if !figure.looks.socks {
        0.16
    } else if figure.looks.form > 0.6 {
        0.9
    } else {
        0.42
    };
    ankle + (knee - ankle) * share
}
