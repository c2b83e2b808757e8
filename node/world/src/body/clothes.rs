//! Shirts, jackets, dresses, skirts, trousers and scarves.

use super::clay::{Clay, cut, melt};
use super::figure::{Figure, side};
use super::hair::Chain;
use super::looks::{Bottom, Top};
use super::mesher::{Grid, Surface, surface};
use super::thin::thin;
use crate::rig::Rig;
use crate::vector::{V3, mix, real, smooth, v3};
use std::f32::consts::TAU;

/// How a top is cut.
#[derive(Clone, Copy)]
pub(super) struct TopCut {
    /// Metres that the cloth stands off the body.
    pub(super) thick: f32,
    /// Where the sleeves end, to the side of the body.
    pub(super) sleeve: f32,
    /// How much thicker sleeves are at shoulder, elbow and wrist.
    pub(super) loose: [f32; 3],
    pub(super) hem: f32,
}

impl TopCut {
    pub(super) fn of(figure: &Figure) -> TopCut {
        let unit = figure.unit;
        let (elbow, wrist) = (figure.at("leftLowerArm").x, figure.at("leftHand").x);
        let shoulder = figure.at("leftUpperArm").x;
        let long = wrist - 0.006 * unit;
        let short = mix(shoulder, elbow, 0.56);
        // What is worn with a skirt is tucked into it.
        let tucked = figure.looks.bottom == Bottom::Skirt;
        let hem = figure.trunk_height(if tucked { 0.25 } else { 0.03 });
        let cloth = |thick: f32, sleeve: f32, loose: [f32; 3], hem: f32| TopCut {
            thick: thick * unit,
            sleeve,
            loose: loose.map(|metres| metres * unit),
            hem,
        };
        match figure.looks.top {
            Top::Tee => cloth(0.0135, short, [0.012, 0.023, 0.02], hem),
            Top::LongSleeve => cloth(0.0125, long, [0.01, 0.0105, 0.011], hem),
            Top::Sweater => cloth(0.022, long, [0.017, 0.02, 0.019], hem),
            Top::Hoodie => cloth(0.024, long, [0.018, 0.02, 0.019], hem - 0.015 * unit),
            Top::Jacket => cloth(0.027, long, [0.018, 0.0185, 0.018], hem - 0.005 * unit),
            Top::Dress => {
                let sleeve = if figure.looks.part > 0.0 { short } else { mix(elbow, wrist, 0.55) };
                cloth(0.0125, sleeve, [0.012, 0.017, 0.02], figure.trunk_height(0.3))
            }
        }
    }
}

/// The shirt, jacket or upper part of a dress.
pub(super) fn top(figure: &Figure) -> Surface {
    let style = TopCut::of(figure);
    let unit = figure.unit;
    let clay = top_clay(figure, &style);
    let collar = collar(figure);
    let neck = figure.at("neck").y;
    let open = figure.looks.top == Top::Jacket;
    let rise = if open { 0.008 * unit } else { -0.004 * unit };
    let field = |point: V3| {
        let mut cloth = clay.at(point);
        cloth = cut(cloth, point.x.abs() - style.sleeve, 0.012 * unit);
        cloth = cut(cloth, style.hem - point.y, 0.014 * unit);
        // The neckline sinks to the front.
        let line = point.y - (neck + rise - point.z * 0.34);
        cloth = cut(cloth, line, 0.012 * unit);
        if let Some(collar) = &collar {
            cloth = melt(cloth, collar.at(point), 0.006 * unit);
        }
        if open {
            let height = (neck - point.y) / unit;
            let gap = 0.036 + 0.03 * smooth(0.2, 0.03, height);
            let slot = (point.x.abs() - gap * unit).max(-point.z);
            cloth = cut(cloth, -slot, 0.01 * unit);
        }
        cloth
    };
    let reach = style.sleeve + 0.03 * unit;
    let grid = Grid {
        low: v3(-reach, style.hem - 0.04 * unit, -0.24 * unit),
        high: v3(reach, neck + 0.07 * unit, 0.24 * unit),
        cell: v3(0.026, 0.0235, 0.024) * unit,
    };
    thin(surface(&field, grid), figure.tolerance * 1.8, 0.065)
}

fn top_clay(figure: &Figure, style: &TopCut) -> Clay {
    let unit = figure.unit;
    let mut clay = figure.trunk(style.thick);
    for sign in [1.0, -1.0] {
        let arm = figure.arm(sign, style.loose);
        let mut joined = Clay::new();
        joined.join(&arm);
        clay.join(&joined);
    }
    // The hem hangs straight down from the widest place.
    let wide = 0.13 * figure.rig.proportions.hips * mix(1.0, figure.looks.build, 0.8) * unit;
    let low = v3(0.0, style.hem + 0.02 * unit, -0.004 * unit);
    if figure.looks.bottom != Bottom::Skirt {
        let size = v3(wide + style.thick * 1.1, 0.12 * unit, wide * 0.76 + style.thick * 1.1);
        clay.egg(low, size, 0.05 * unit);
    }
    if figure.looks.top == Top::Hoodie {
        let neck = figure.at("neck");
        let hood = neck + v3(0.0, -0.006, -0.074) * unit;
        clay.turned_egg(hood, v3(0.098, 0.052, 0.05) * unit, -0.35, 0.02 * unit);
        let pocket = v3(0.0, figure.trunk_height(0.34), 0.0) + v3(0.0, 0.0, 0.104) * unit;
        let belly = mix(1.0, figure.looks.build, 1.0);
        clay.egg(pocket.times(v3(1.0, 1.0, belly)), v3(0.085, 0.052, 0.02) * unit, 0.012 * unit);
    }
    clay
}

/// A ring around the neck.
fn ring(figure: &Figure, rise: f32, wide: f32, thick: f32, slant: f32) -> Clay {
    let neck = figure.at("neck");
    let unit = figure.unit;
    let broad = mix(0.05, 0.041, figure.looks.form) / 0.045 * mix(1.0, figure.looks.build, 0.5);
    let at = |number: usize| {
        let (sin, cos) = (real(number) / 14.0 * TAU).sin_cos();
        let (x, z) = (sin * wide * broad, cos * wide * broad);
        neck + v3(x, rise - z * slant, z + 0.004) * unit
    };
    let mut clay = Clay::new();
    for number in 0..14 {
        let radius = thick * unit;
        clay.cone(at(number), at(number + 1), [radius, radius], 0.004);
    }
    clay
}

fn collar(figure: &Figure) -> Option<Clay> {
    match figure.looks.top {
        Top::Sweater => Some(ring(figure, 0.006, 0.05, 0.016, 0.3)),
        Top::Hoodie => Some(ring(figure, 0.002, 0.06, 0.02, 0.42)),
        Top::LongSleeve | Top::Tee => Some(ring(figure, -0.005, 0.054, 0.0125, 0.36)),
        Top::Jacket => Some(ring(figure, 0.006, 0.062, 0.0155, 0.42)),
        Top::Dress => None,
    }
}

/// The shirt that shows where a jacket is open.
pub(super) fn under_shirt(figure: &Figure) -> Option<Surface> {
    if figure.looks.top != Top::Jacket {
        return None;
    }
    let unit = figure.unit;
    let clay = figure.trunk(0.0125 * unit);
    let neck = figure.at("neck").y;
    let low = figure.trunk_height(0.03);
    let field = |point: V3| {
        let cloth = cut(clay.at(point), low - point.y, 0.012 * unit);
        let cloth = cut(cloth, point.x.abs() - 0.082 * unit, 0.01 * unit);
        cut(cloth, point.y - (neck - 0.012 * unit - point.z * 0.34), 0.01 * unit)
    };
    let grid = Grid {
        low: v3(-0.115 * unit, low - 0.03, -0.01),
        high: v3(0.115 * unit, neck + 0.05 * unit, 0.24 * unit),
        cell: v3(0.03, 0.034, 0.03) * unit,
    };
    let shirt = surface(&field, grid);
    Some(thin(shirt, figure.tolerance * 1.4, 0.08))
}

/// Where trousers end above the ground, and how wide their legs are at hip, knee and hem.
struct LegCut {
    hem: f32,
    radii: [f32; 3],
    cuff: bool,
}

fn leg_cut(figure: &Figure) -> LegCut {
    let unit = figure.unit;
    let knee = figure.at("leftLowerLeg").y;
    let ankle = figure.at("leftFoot").y;
    match figure.looks.bottom {
        Bottom::Trousers => {
            LegCut { hem: ankle - 0.006 * unit, radii: [0.092, 0.066, 0.053], cuff: false }
        }
        Bottom::Wide => {
            LegCut { hem: ankle - 0.022 * unit, radii: [0.095, 0.08, 0.085], cuff: false }
        }
        Bottom::Rolled => {
            LegCut { hem: ankle + 0.05 * unit, radii: [0.093, 0.069, 0.06], cuff: true }
        }
        Bottom::Shorts => {
            LegCut { hem: knee + 0.03 * unit, radii: [0.096, 0.085, 0.082], cuff: false }
        }
        // Whoever sits or leaps in a skirt wears shorts below it.
        Bottom::Skirt => {
            let hem = mix(knee, figure.leg_top(), 0.5);
            LegCut { hem, radii: [0.086, 0.08, 0.074], cuff: false }
        }
    }
}

/// How high above the ground bare skin or socks begin to be covered.
pub(super) fn bare_below(figure: &Figure) -> Option<f32> {
    let style = leg_cut(figure);
    (style.hem > figure.at("leftFoot").y + 0.01).then_some(style.hem + 0.05 * figure.unit)
}

/// The left half of trousers or shorts, closed along the middle: the halves meet over the hips and
/// part below them, as legs do.
pub(super) fn trousers(figure: &Figure) -> Surface {
    let style = leg_cut(figure);
    let unit = figure.unit;
    let build = mix(1.0, figure.looks.build, 0.75);
    let mut clay = figure.trunk(0.008 * unit);
    let joints = ["UpperLeg", "LowerLeg", "Foot"].map(|bone| figure.at(side(1.0, bone)));
    let radius = |at: usize| style.radii[at] * unit * build;
    let hem = v3(joints[2].x, style.hem, joints[2].z + 0.004 * unit);
    let knee = joints[1].y.max(style.hem + 0.02 * unit);
    let end = if style.hem < joints[1].y { hem } else { v3(joints[1].x, style.hem, joints[1].z) };
    let points = [
        (joints[0] + v3(0.01, -0.01, 0.0) * unit, radius(0)),
        (v3(joints[1].x, knee, joints[1].z), radius(1)),
        (end, radius(2)),
    ];
    clay.tube(&points, 0.035 * unit);
    if style.cuff {
        let thick = radius(2) + 0.007 * unit;
        clay.cone(hem, hem + v3(0.0, 0.018 * unit, 0.0), [thick, thick], 0.004 * unit);
    }
    let skirt = figure.looks.bottom == Bottom::Skirt;
    let high = figure.looks.top == Top::Jacket && !skirt;
    let waist = figure.trunk_height(if high { 0.14 } else { 0.1 });
    let field = |point: V3| {
        let cloth = cut(clay.at(point), style.hem - point.y, 0.01 * unit);
        let half = cut(cloth, -point.x - 0.003 * unit, 0.008 * unit);
        cut(half, point.y - waist, 0.008 * unit)
    };
    let grid = Grid {
        low: v3(-0.03 * unit, style.hem - 0.045 * unit, -0.2 * unit),
        high: v3(0.25 * unit, waist + 0.02 * unit, 0.2 * unit),
        cell: v3(0.0235, 0.031, 0.0235) * unit,
    };
    thin(surface(&field, grid), figure.tolerance * 1.4, 0.075)
}

/// A skirt as rings from the waist down, with soft folds; the shares tell around and up.
pub(super) fn skirt(figure: &Figure) -> Option<(Surface, Vec<[f32; 2]>)> {
    if figure.looks.bottom != Bottom::Skirt {
        return None;
    }
    let unit = figure.unit;
    let build = mix(1.0, figure.looks.build, 0.8);
    let hips = figure.rig.proportions.hips;
    let dress = figure.looks.top == Top::Dress;
    let waist = figure.trunk_height(if dress { 0.36 } else { 0.3 });
    let knee = figure.at("leftLowerLeg").y;
    let hem = knee + mix(-0.03, 0.11, figure.looks.features.blush) * unit;
    let flare = mix(0.2, 0.235, figure.looks.features.cheeks - 0.6) * unit * build;
    let (rows, columns) = (8, 36);
    let point = |around: f32, down: f32| {
        let (sin, cos) = (around * TAU).sin_cos();
        let full = mix(1.0, figure.looks.build, 0.9);
        let narrow = (0.124 * hips * full + if dress { 0.006 } else { 0.03 }) * unit;
        // Wide over the hips at once, then straight to the hem.
        let round = narrow + (flare - narrow) * (1.0 - (1.0 - down).powf(1.7));
        let fold = 1.0 + 0.045 * down * down * (around * TAU * 9.0).cos();
        let deep = mix(0.8, 0.93, down);
        let y = mix(waist, hem, down) + 0.004 * unit * (around * TAU * 9.0).cos() * down;
        v3(sin * round * fold, y, cos * round * deep * fold - 0.006 * unit)
    };
    let mut surface = Surface::default();
    let mut shares = Vec::new();
    for row in 0..=rows {
        let down = real(row) / real(rows);
        for column in 0..=columns {
            let around = real(column) / real(columns);
            let along = point(around + 0.005, down) - point(around - 0.005, down);
            let fall = point(around, down + 0.01) - point(around, down - 0.01);
            surface.at.push(point(around, down));
            surface.normal.push(fall.cross(along).unit());
            shares.push([around, 1.0 - down]);
        }
    }
    for row in 0..rows {
        for column in 0..columns {
            let at = row * (columns + 1) + column;
            let below = at + columns + 1;
            surface.corners.push([at, below, below + 1]);
            surface.corners.push([at, below + 1, at + 1]);
        }
    }
    Some((surface, shares))
}

/// A scarf, and its end that swings.
pub(super) fn scarf(figure: &Figure) -> Option<(Surface, Chain)> {
    if !figure.looks.scarf {
        return None;
    }
    let unit = figure.unit;
    let mut clay = ring(figure, 0.008, 0.066, 0.029, 0.2);
    let neck = figure.at("neck");
    let part = figure.looks.part;
    let cloth = TopCut::of(figure).thick / unit;
    let out =
        (0.112 + 0.02 * figure.looks.form) * mix(1.0, figure.looks.build, 0.7) + 0.017 + cloth;
    let end = [
        (0.022, -0.035, 0.092),
        (0.034, -0.11, out),
        (0.038, -0.2, out + 0.006),
        (0.04, -0.27, out),
    ]
    .map(|(x, y, z): (f32, f32, f32)| neck + v3(x * part, y, z) * unit);
    // Three rods side by side make a band of cloth, as wide at its end as anywhere.
    for across in [-0.02, 0.0, 0.02] {
        let tube = end.map(|at| (at + v3(across * unit, 0.0, 0.0), 0.0165 * unit));
        clay.tube(&tube, 0.014 * unit);
    }
    let grid = Grid {
        low: neck + v3(-0.14, -0.32, -0.14) * unit,
        high: neck + v3(0.14, 0.06, 0.24) * unit,
        cell: v3(0.018, 0.021, 0.0175) * unit,
    };
    let chain = Chain { name: "scarf", points: end.to_vec(), radius: 0.02 * unit };
    Some((thin(surface(&|point| clay.at(point), grid), figure.tolerance * 1.3, 0.05), chain))
}

/// The bones that hold a skirt.
pub(super) const SKIRT_BONES: [&str; 4] = ["hips", "spine", "leftUpperLeg", "rightUpperLeg"];

/// The bones that hold one leg of trousers, without their side.
pub(super) const LEG_BONES: [&str; 3] = ["UpperLeg", "LowerLeg", "Foot"];

/// Where the strands of hair and cloth are joined to the skeleton.
pub(super) fn root_of(chain: &Chain, rig: &Rig) -> usize {
    rig.find(if chain.name == "scarf" { "upperChest" } else { "head" })
}
