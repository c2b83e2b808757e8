//! Hats, headphones and glasses.

use super::clay::{Clay, cut};
use super::figure::Figure;
use super::looks::{Glasses, Headwear};
use super::mesher::{Grid, Surface, surface};
use super::paint::Strip;
use super::thin::thin;
use crate::vector::{V3, real, v3};
use std::f32::consts::{PI, TAU};

/// Something worn on the head, in one colour.
pub(super) struct Piece {
    pub(super) surface: Surface,
    pub(super) colour: Strip,
}

/// A field that may be asked whether hair lies below it.
pub(super) type Cover = Box<dyn Fn(V3) -> f32>;

/// The lower edge of a hat: its height in the middle of the head and its rise to the front, in metres
/// of the reference.
pub(super) fn rim(hat: Headwear) -> Option<[f32; 2]> {
    match hat {
        Headwear::Nothing | Headwear::Headphones => None,
        Headwear::Beanie => Some([0.046, 0.28]),
        Headwear::Cap => Some([0.048, 0.18]),
        Headwear::SunHat => Some([0.06, 0.1]),
    }
}

/// What covers the hair, if a hat does.
pub(super) fn cover(figure: &Figure) -> Option<Cover> {
    let head = figure.head;
    let scale = head.scale;
    let dome = |thicker: f32| figure.skull(thicker * scale);
    let [high, rise] = rim(figure.looks.headwear)?;
    match figure.looks.headwear {
        Headwear::Nothing | Headwear::Headphones => None,
        Headwear::Beanie => {
            let mut cap = dome(0.031);
            cap.egg(head.point(0.0, 0.12, -0.03), v3(0.1, 0.07, 0.1) * scale, 0.05 * scale);
            let mut rim = Clay::new();
            ring(&mut rim, figure, 0.048, 0.0, 0.017, 0.024);
            Some(Box::new(move |point| {
                let local = (point - head.centre) * (1.0 / scale);
                let line = high + local.z * rise - local.y;
                let cap = cut(cap.at(point), line * scale, 0.01 * scale);
                super::clay::melt(cap, rim.at(point), 0.004 * scale)
            }))
        }
        Headwear::Cap => {
            let cap = dome(0.03);
            let mut brim = Clay::new();
            let size = v3(0.086, 0.0125, 0.088) * scale;
            brim.turned_egg(head.point(0.0, 0.062, 0.132), size, 0.2, 0.01);
            Some(Box::new(move |point| {
                let local = (point - head.centre) * (1.0 / scale);
                let line = high + local.z * rise - local.y;
                let cap = cut(cap.at(point), line * scale, 0.012 * scale);
                super::clay::melt(cap, brim.at(point), 0.012 * scale)
            }))
        }
        Headwear::SunHat => {
            let cap = dome(0.03);
            let mut brim = Clay::new();
            let size = v3(0.21, 0.0165, 0.21) * scale;
            brim.turned_egg(head.point(0.0, 0.064, -0.006), size, -0.1, 0.01);
            Some(Box::new(move |point| {
                let local = (point - head.centre) * (1.0 / scale);
                let line = high + local.z * rise - local.y;
                let cap = cut(cap.at(point), line * scale, 0.012 * scale);
                super::clay::melt(cap, brim.at(point), 0.03 * scale)
            }))
        }
    }
}

/// A ring of clay around the skull, higher in front.
fn ring(clay: &mut Clay, figure: &Figure, high: f32, rise: f32, thick: f32, over: f32) {
    let head = figure.head;
    let count = 18;
    let at = |number: usize| {
        let (sin, cos) = (real(number) / real(count) * TAU).sin_cos();
        let (x, z) = (sin * (0.117 + over * 0.6), cos * (0.119 + over * 0.6) - 0.006);
        head.point(x, high + z * 0.28 + rise, z)
    };
    for number in 0..count {
        let radius = thick * head.scale;
        clay.cone(at(number), at(number + 1), [radius, radius], 0.004);
    }
}

/// The pieces worn on the head.
pub(super) fn pieces(figure: &Figure, cover: Option<&Cover>) -> Vec<Piece> {
    let head = figure.head;
    let scale = head.scale;
    let mut pieces = Vec::new();
    if let Some(cover) = cover {
        let wide = if figure.looks.headwear == Headwear::SunHat { 0.235 } else { 0.16 };
        let fine = if figure.looks.headwear == Headwear::SunHat { 0.0175 } else { 0.0145 };
        let grid = Grid {
            low: head.point(-wide, -0.01, -wide),
            high: head.point(wide, 0.23, wide.max(0.24)),
            cell: v3(fine, fine.min(0.0125), fine) * scale,
        };
        let skull = figure.skull(0.006 * scale);
        let hat = surface(cover.as_ref(), grid).without(&|point| skull.at(point), 0.0);
        let hat = thin(hat, figure.tolerance * 1.5, 0.07);
        pieces.push(Piece { surface: hat, colour: Strip::Accent });
    }
    match figure.looks.headwear {
        Headwear::Beanie => {
            let mut ball = Clay::new();
            ball.egg(head.point(0.0, 0.203, -0.03), v3(0.04, 0.037, 0.04) * scale, 0.0);
            pieces.push(round(&ball, figure, [-0.05, 0.15, -0.08], [0.05, 0.25, 0.02], 0.0145));
        }
        Headwear::Headphones => pieces.extend(headphones(figure)),
        _ => {}
    }
    pieces
}

fn round(clay: &Clay, figure: &Figure, low: [f32; 3], high: [f32; 3], cell: f32) -> Piece {
    let head = figure.head;
    let grid = Grid {
        low: head.point(low[0], low[1], low[2]),
        high: head.point(high[0], high[1], high[2]),
        cell: v3(cell, cell, cell) * head.scale,
    };
    let surface = thin(surface(&|point| clay.at(point), grid), figure.tolerance, 0.04);
    Piece { surface, colour: Strip::Second }
}

/// A band over the head and a cushion on each ear.
fn headphones(figure: &Figure) -> Vec<Piece> {
    let head = figure.head;
    let scale = head.scale;
    let mut pieces = Vec::new();
    for sign in [1.0, -1.0] {
        let mut cup = Clay::new();
        let at = head.point(0.138 * sign, -0.015, -0.008);
        cup.egg(at, v3(0.024, 0.044, 0.04) * scale, 0.0);
        let (low, high) = if sign > 0.0 { (0.1, 0.18) } else { (-0.18, -0.1) };
        let mut piece = round(&cup, figure, [low, -0.08, -0.07], [high, 0.05, 0.06], 0.0135);
        piece.colour = Strip::Accent;
        pieces.push(piece);
    }
    let count = 20;
    let band: Vec<V3> = (0..=count)
        .map(|number| {
            let (sin, cos) = ((real(number) / real(count) * 1.16 - 0.58) * PI).sin_cos();
            head.point(sin * 0.146, 0.026 + cos * 0.147, -0.012)
        })
        .collect();
    let wide = v3(0.0, 0.0, 0.016) * scale;
    pieces.push(Piece { surface: tube(&band, wide, 0.0075 * scale, 8), colour: Strip::Frame });
    pieces
}

/// The frames of glasses: a tube around each eye, a bridge, and the bars to the ears.
pub(super) fn glasses(figure: &Figure, lift: impl Fn(f32, f32, f32) -> V3) -> Option<Surface> {
    let square = match figure.looks.glasses {
        Glasses::Nothing => return None,
        Glasses::Round => 2.0,
        Glasses::Square => 4.0,
    };
    let head = figure.head;
    let thin = 0.0026 * head.scale;
    let apart = 0.047 * figure.looks.features.eye_apart;
    let flat = lift(apart, -0.006, 0.015).z;
    let mut all = Surface::default();
    for sign in [1.0, -1.0] {
        let count = 28;
        let rim: Vec<V3> = (0..=count)
            .map(|number| {
                let (sin, cos) = (real(number) / real(count) * TAU).sin_cos();
                // A superellipse goes from a circle to a rounded square.
                let soft = (cos.abs().powf(square) + sin.abs().powf(square)).powf(-1.0 / square);
                let x = (apart + cos * soft * 0.041) * sign;
                let at = head.point(x, -0.007 + sin * soft * 0.04, 0.0);
                // Lenses stand in a plane that bends back a little outwards.
                let bend = (cos * soft * 0.5 + 0.2).max(0.0) * 0.022 * head.scale;
                v3(at.x, at.y, flat - bend)
            })
            .collect();
        join(&mut all, &tube(&rim, V3::default(), thin, 5));
        let bar = [
            v3(
                head.point((apart + 0.041) * sign, 0.0, 0.0).x,
                head.centre.y,
                flat - 0.016 * head.scale,
            ),
            head.point(0.124 * sign, 0.0, 0.03),
            head.point(0.128 * sign, -0.004, -0.02),
        ];
        join(&mut all, &tube(&bar, V3::default(), thin, 5));
    }
    let edge = apart - 0.04;
    let bridge: Vec<V3> = (0..=4)
        .map(|number| {
            let x = (real(number) / 2.0 - 1.0) * edge;
            let at = head.point(x, 0.002 + 0.004 * (1.0 - (x / edge).powi(2)), 0.0);
            v3(at.x, at.y, flat + 0.003 * head.scale)
        })
        .collect();
    join(&mut all, &tube(&bridge, V3::default(), thin, 5));
    Some(all)
}

fn join(all: &mut Surface, more: &Surface) {
    let first = all.at.len();
    all.at.extend(&more.at);
    all.normal.extend(&more.normal);
    all.corners.extend(more.corners.iter().map(|corners| corners.map(|corner| corner + first)));
}

/// A tube along points: round, or stretched along `wide`.
fn tube(points: &[V3], wide: V3, radius: f32, corners: usize) -> Surface {
    let mut surface = Surface::default();
    for (number, at) in points.iter().enumerate() {
        let before = points[number.saturating_sub(1)];
        let after = points[(number + 1).min(points.len() - 1)];
        let along = (after - before).unit();
        let helper = if along.x.abs() > 0.9 { v3(0.0, 0.0, 1.0) } else { v3(1.0, 0.0, 0.0) };
        let across = along.cross(if wide == V3::default() { helper } else { wide }).unit();
        let over = along.cross(across);
        for corner in 0..corners {
            let (sin, cos) = (real(corner) / real(corners) * TAU).sin_cos();
            let out = across * cos + over * sin;
            surface.at.push(*at + out * radius + over * (sin * wide.length()));
            surface.normal.push(out);
        }
    }
    for ring in 0..points.len() - 1 {
        for corner in 0..corners {
            let next = (corner + 1) % corners;
            let (a, b) = (ring * corners + corner, ring * corners + next);
            surface.corners.push([a, b + corners, b]);
            surface.corners.push([a, a + corners, b + corners]);
        }
    }
    surface
}
