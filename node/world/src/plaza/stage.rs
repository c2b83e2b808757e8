//! The stage with its shell of arches, the portals, the pier and the pavilion at its end.

use std::f32::consts::{PI, TAU};

use super::{
    arithmetic::{Chance, Frame, UP, V3, part, real, steps, v3, yaw_towards},
    fittings::{pool, railing, terrace_end},
    land::{MIDDLE, PAVILION, PIER_HALF, PIER_X, QUAY_EDGE, SEA_LEVEL},
    mesh::{Colour, Mesh, Ring, blend, half_circle, hex, tone},
    palette,
    site::Site,
};

/// The middle of the stage's front, and its measures.
const STAGE: V3 = v3(-14.6, 0.0, 12.2);
const STAGE_TOP: f32 = 0.8;
const STAGE_HALF: f32 = 5.6;

pub(super) fn build(site: &mut Site) {
    let frame = Frame::new(STAGE, yaw_towards(STAGE, v3(0.0, 0.0, -4.0)));
    platform(site, frame);
    shell(site, frame);
    portals(site);
    pier(site);
    pavilion(site);
}

/// A floor that people see and walk on.
fn deck(site: &mut Site, frame: Frame, foot: V3, size: V3, colour: Colour) {
    let mut mesh = Mesh::default();
    mesh.block(foot, size, tone(colour, 0.6), colour);
    site.matter.place(&mesh, frame);
    site.floors.place(&mesh, frame);
}

fn platform(site: &mut Site, frame: Frame) {
    let (wood, stone) = (hex(palette::WOOD), hex(palette::STONE));
    let depth = 6.4;
    let body = v3(STAGE_HALF * 2.0, STAGE_TOP - 0.05, depth);
    let mut mesh = Mesh::default();
    mesh.block(v3(0.0, 0.0, -depth / 2.0), body, tone(stone, 0.62), stone);
    // Boards from left to right, each of its own shade.
    let mut chance = Chance::new(31);
    for at in 0..16 {
        let z = -depth + depth * (real(at) + 0.5) / 16.0;
        let size = v3(STAGE_HALF * 2.0 + 0.16, 0.05, depth / 16.0 - 0.02);
        let shade = tone(wood, chance.between(0.85, 1.15));
        mesh.block(v3(0.0, STAGE_TOP - 0.05, z), size, shade, shade);
    }
    site.matter.place(&mesh, frame);
    let mut floor = Mesh::default();
    let whole = v3(STAGE_HALF * 2.0, STAGE_TOP, depth);
    floor.block(v3(0.0, 0.0, -depth / 2.0), whole, [0.0; 3], [0.0; 3]);
    site.floors.place(&floor, frame);
    for step in 0..3 {
        let high = 0.2 * real(step + 1);
        let size = v3(4.4, high, 0.42);
        deck(site, frame, v3(0.0, 0.0, 1.26 - 0.42 * real(step) - 0.21), size, stone);
    }
    // Lights along the front edge, and places to sit on either side of the steps.
    for at in 0..7 {
        let x = if at < 3 { -5.1 + 1.1 * real(at) } else { 5.1 - 1.1 * (6.0 - real(at)) };
        if at != 3 {
            let mut light = Mesh::default();
            light.block(v3(x, 0.34, 0.0), v3(0.5, 0.1, 0.06), [1.0; 3], [1.0; 3]);
            site.lanterns.place(&light, frame);
        }
    }
    site.lights.push((frame.point(v3(0.0, 3.4, -2.0)), 15.0));
    pool(site, frame.point(v3(0.0, 0.0, 2.6)), 5.2, 0.34);
}

/// Arches in each other, each further back, with a line of light along their edges.
fn shell(site: &mut Site, frame: Frame) {
    const PIECES: usize = 18;
    const ARCHES: usize = 5;
    let radius = |arch: usize| 5.45 - 0.62 * real(arch);
    let back = |arch: usize| -0.9 - 1.0 * real(arch);
    let mut mesh = Mesh::default();
    let mut lines = Mesh::default();
    let lift = v3(0.0, STAGE_TOP, 0.0);
    for arch in 0..ARCHES {
        let inside = part(arch, ARCHES);
        let face = blend(hex(palette::LINEN), hex(palette::PEACH), inside);
        let lining = blend(hex(palette::PEACH), hex(palette::CORAL), inside);
        let (outer, inner) = (radius(arch), radius(arch + 1));
        let (front, rear) = (back(arch), back(arch + 1));
        for at in 0..PIECES {
            let on = |radius: f32, at: usize, z: f32| {
                half_circle(radius, 0.9, PIECES, at) + v3(0.0, 0.0, z) + lift
            };
            let (near, far) = (at, at + 1);
            mesh.panel(
                &[
                    on(inner, near, front),
                    on(outer, near, front),
                    on(outer, far, front),
                    on(inner, far, front),
                ],
                tone(face, if at % 2 == 0 { 1.0 } else { 0.95 }),
            );
            mesh.panel(
                &[
                    on(inner, near, rear),
                    on(inner, near, front),
                    on(inner, far, front),
                    on(inner, far, rear),
                ],
                lining,
            );
            let glow = on(inner + 0.02, near, front + 0.03);
            lines.beam(glow, on(inner + 0.02, far, front + 0.03), 0.055, [1.0; 3]);
            if arch == 0 {
                let roof = tone(hex(palette::TEAL), if at % 2 == 0 { 1.0 } else { 0.88 });
                let deep = back(ARCHES) - 0.3;
                let small = radius(ARCHES) + 0.4;
                mesh.panel(
                    &[
                        on(outer, near, front),
                        on(small, near, deep),
                        on(small, far, deep),
                        on(outer, far, front),
                    ],
                    roof,
                );
            }
        }
        sides(&mut mesh, &mut lines, lift, (inner, outer), (front, rear), (face, lining));
    }
    back_wall(&mut mesh, lift, radius(ARCHES), back(ARCHES));
    site.matter.place(&mesh, frame);
    site.lanterns.place(&lines, frame);
    for side in [-1.0, 1.0] {
        let foot = v3(side * 4.55, 0.0, -3.4);
        site.solid(frame.within(foot, side * 0.42), V3::default(), v3(1.0, 6.0, 5.6));
    }
    site.solid(frame, v3(0.0, 0.0, -6.2), v3(6.6, 6.0, 0.6));
}

/// The upright parts of an arch, from the boards to where it bends.
fn sides(
    mesh: &mut Mesh,
    lines: &mut Mesh,
    lift: V3,
    (inner, outer): (f32, f32),
    (front, rear): (f32, f32),
    (face, lining): (Colour, Colour),
) {
    for side in [-1.0, 1.0] {
        let middle = side * f32::midpoint(inner, outer);
        mesh.pane(lift + v3(middle, 0.0, front), outer - inner, 0.9, tone(face, 0.85), face);
        let (low, high) = (lift, lift + UP * 0.9);
        let edge = |at: V3, z: f32| at + v3(side * inner, 0.0, z);
        let panel = if side > 0.0 {
            [edge(low, front), edge(low, rear), edge(high, rear), edge(high, front)]
        } else {
            [edge(low, rear), edge(low, front), edge(high, front), edge(high, rear)]
        };
        mesh.panel(&panel, tone(lining, 0.9));
        let glow = v3(side * (inner + 0.02), 0.0, front + 0.03);
        lines.beam(lift + glow, high + glow, 0.055, [1.0; 3]);
    }
    for side in [-1.0, 1.0] {
        let size = v3(0.12, 0.94, front - rear + 0.3);
        let foot = lift + v3(side * (outer - 0.06), 0.0, f32::midpoint(front, rear));
        mesh.block(foot, size, tone(hex(palette::TEAL), 0.7), hex(palette::TEAL));
    }
}

fn back_wall(mesh: &mut Mesh, lift: V3, radius: f32, z: f32) {
    const PIECES: usize = 18;
    let (low, high) = (hex(palette::CORAL), hex(palette::OCHRE));
    mesh.pane(lift + v3(0.0, 0.0, z), radius * 2.0, 0.9, tone(low, 0.8), low);
    let middle = lift + v3(0.0, 0.9, z);
    for at in 0..PIECES {
        let on = |at: usize| half_circle(radius, 0.9, PIECES, at) + lift + v3(0.0, 0.0, z);
        let bright = if at % 2 == 0 { 1.0 } else { 0.86 };
        mesh.face(&[
            (middle, tone(low, bright)),
            (on(at), tone(high, bright)),
            (on(at + 1), tone(high, bright)),
        ]);
    }
}

/// Arches of stone around the plaza and behind the terrace, each with a lining that shines.
fn portals(site: &mut Site) {
    let ring = |degrees: f32| {
        let turn = degrees.to_radians();
        let at = MIDDLE + v3(turn.sin() * 20.6, 0.0, turn.cos() * 20.6);
        Frame::new(at, yaw_towards(at, MIDDLE))
    };
    let mut places: Vec<Frame> = [80.0, 120.0, 240.0, 280.0].into_iter().map(ring).collect();
    places.push(Frame::new(terrace_end(), 0.0));
    for frame in places {
        portal(site, frame);
    }
}

fn portal(site: &mut Site, frame: Frame) {
    const PIECES: usize = 11;
    let (inner, outer, spring, deep) = (1.25, 1.78, 2.0, 0.6);
    let mut mesh = Mesh::default();
    let mut lining = Mesh::default();
    let mut chance = Chance::new(3);
    let half = deep / 2.0;
    let light = hex(palette::STONE);
    for at in 0..PIECES {
        let proud = if at == PIECES / 2 { 0.16 } else { 0.0 };
        let colour = tone(light, chance.between(0.88, 1.1));
        let on = |radius: f32, at: usize, z: f32| {
            half_circle(radius, spring, PIECES, at) + v3(0.0, 0.0, z)
        };
        let (rim, front) = (outer + proud, half + proud * 0.5);
        let ring =
            |z: f32| [on(inner, at, z), on(rim, at, z), on(rim, at + 1, z), on(inner, at + 1, z)];
        let (ahead, behind) = (ring(front), ring(-front));
        mesh.panel(&ahead, colour);
        mesh.panel(&[behind[3], behind[2], behind[1], behind[0]], colour);
        for (one, shade) in [(0, 1.0), (1, 1.08), (2, 1.0), (3, 0.8)] {
            let two = (one + 1) % 4;
            mesh.panel(&[ahead[one], behind[one], behind[two], ahead[two]], tone(colour, shade));
        }
        lining.beam(on(inner - 0.02, at, 0.0), on(inner - 0.02, at + 1, 0.0), 0.07, [1.0; 3]);
    }
    for side in [-1.0, 1.0] {
        let x = side * f32::midpoint(inner, outer);
        mesh.block(v3(x, -0.6, 0.0), v3(0.86, 0.95, 0.92), tone(light, 0.7), light);
        for (course, wide) in [0.53, 0.56, 0.53].into_iter().enumerate() {
            let colour = tone(light, chance.between(0.85, 1.08));
            let foot = v3(x, 0.35 + 0.5 * real(course), 0.0);
            mesh.block(foot, v3(wide, 0.5, deep), tone(colour, 0.92), colour);
        }
        mesh.block(v3(x, 1.85, 0.0), v3(0.72, 0.15, 0.78), light, tone(light, 1.12));
        let inside = v3(side * (inner - 0.02), 0.0, 0.0);
        lining.beam(inside + UP * 0.05, inside + UP * spring, 0.07, [1.0; 3]);
        site.solid(frame, v3(x, -0.6, 0.0), v3(0.8, 2.6, 0.86));
    }
    // A threshold that lies on the floor before and behind the arch.
    let step = v3(2.9, 0.65, 1.7);
    let slate = tone(hex(palette::SLATE), 1.1);
    deck(site, frame, UP * -0.6, step, slate);
    site.matter.place(&mesh, frame);
    site.linings.place(&lining, frame);
    site.portals.push(frame.within(UP * 0.05, 0.0));
}

fn pier(site: &mut Site) {
    let (wood, dark) = (hex(palette::WOOD_LIGHT), hex(palette::WOOD_DARK));
    let mut chance = Chance::new(41);
    let end = PAVILION.z - 4.0;
    let length = end - QUAY_EDGE;
    let count = steps(length, 0.42);
    for at in 0..count {
        let z = QUAY_EDGE + length * (real(at) + 0.5) / real(count);
        let size =
            v3(PIER_HALF * 2.0 + chance.between(0.0, 0.1), 0.08, length / real(count) - 0.025);
        let shade = tone(wood, chance.between(0.72, 1.05));
        site.matter.block(v3(PIER_X, -0.1, z), size, tone(shade, 0.5), shade);
    }
    let middle = v3(PIER_X, -0.32, QUAY_EDGE + length / 2.0 - 0.1);
    let body = v3(PIER_HALF * 2.0, 0.3, length + 0.6);
    site.floors.block(middle, body, [0.0; 3], [0.0; 3]);
    for side in [-1.0, 1.0] {
        let x = PIER_X + side * (PIER_HALF - 0.12);
        site.matter.block(
            v3(x, -0.34, QUAY_EDGE + length / 2.0),
            v3(0.16, 0.24, length),
            tone(dark, 0.6),
            dark,
        );
        for at in 0..5 {
            let z = QUAY_EDGE + 1.6 + 4.1 * real(at);
            let rings = [(0.17, -3.6, tone(dark, 0.4)), (0.15, -0.5, dark), (0.15, -0.3, dark)];
            site.matter.lathe(v3(x, 0.0, z), 7, &rings);
        }
        let edge = PIER_X + side * (PIER_HALF - 0.06);
        let from = v3(edge, -0.02, QUAY_EDGE - 0.3);
        let colours = (dark, hex(palette::WOOD));
        railing(site, from, v3(edge, -0.02, end + 0.1), colours);
    }
}

/// An eight-sided house of posts on the water, with a lantern under its roof.
fn pavilion(site: &mut Site) {
    const SIDES: usize = 8;
    let radius = 4.6;
    let (wood, dark) = (hex(palette::WOOD_LIGHT), hex(palette::WOOD_DARK));
    let level = -0.02;
    // Turned so that a flat side looks to the pier.
    let corner = |side: usize, radius: f32, height: f32| {
        let (sine, cosine) = (TAU * (real(side) + 0.5) / real(SIDES)).sin_cos();
        PAVILION + v3(sine * radius, height, cosine * radius)
    };
    for side in 0..SIDES {
        let next = side + 1;
        for ring in 0..5 {
            let (near, far) = (radius * part(ring, 5), radius * part(ring + 1, 5) - 0.03);
            let shade = tone(wood, 0.8 + 0.09 * real((ring * 3 + side) % 4));
            let corners = [
                corner(side, near, level),
                corner(side, far, level),
                corner(next, far, level),
                corner(next, near, level),
            ];
            // The innermost boards meet in a point.
            let corners = if ring == 0 { &corners[1..] } else { &corners[..] };
            site.matter.panel(corners, shade);
        }
        let (low, high) = (level - 0.34, level);
        let rim = [
            corner(side, radius, low),
            corner(next, radius, low),
            corner(next, radius, high),
            corner(side, radius, high),
        ];
        site.matter.panel(&rim, dark);
        site.floors.panel(&rim, [0.0; 3]);
        site.floors.panel(
            &[PAVILION + UP * level, corner(side, radius, level), corner(next, radius, level)],
            [0.0; 3],
        );
        let post = corner(side, radius - 0.25, level);
        site.matter.block(post, v3(0.2, 3.0, 0.2), tone(dark, 0.8), hex(palette::WOOD));
        site.matter.lathe(
            corner(side, radius - 0.5, -3.6),
            6,
            &[(0.2, 0.0, tone(dark, 0.4)), (0.17, 3.2, dark)],
        );
        let beam = [corner(side, radius - 0.25, 2.86), corner(next, radius - 0.25, 2.86)];
        site.matter.beam(beam[0], beam[1], 0.2, hex(palette::WOOD));
        site.post(post, 0.14, 3.0);
        if side != 3 {
            let place = |side: usize| corner(side, radius - 0.25, level);
            railing(site, place(side), place(next), (dark, hex(palette::WOOD)));
        }
    }
    roof(site, radius);
    site.lights.push((PAVILION + UP * 2.5, 12.0));
    let lantern: [Ring; 4] =
        [(0.0, 2.3, [1.0; 3]), (0.28, 2.42, [1.0; 3]), (0.24, 2.8, [1.0; 3]), (0.0, 2.9, [1.0; 3])];
    site.lanterns.lathe(PAVILION, 8, &lantern);
    site.matter.beam(PAVILION + UP * 2.9, PAVILION + UP * 3.9, 0.04, dark);
    pool(site, PAVILION + UP * level, 4.0, 0.6);
    shore_posts(site, radius);
}

fn roof(site: &mut Site, radius: f32) {
    let (tile, light) = (hex(palette::ROOF), hex(palette::ROOF_LIGHT));
    let curve: [Ring; 8] = [
        (radius + 0.7, 2.72, tone(tile, 0.6)),
        (radius + 0.75, 2.84, light),
        (radius - 0.4, 3.3, tile),
        (2.4, 3.95, tone(light, 0.95)),
        (1.1, 4.9, tile),
        (0.3, 5.6, light),
        (0.16, 5.75, tone(tile, 0.7)),
        (0.0, 6.5, hex(palette::OCHRE)),
    ];
    let mut mesh = Mesh::default();
    mesh.lathe(V3::default(), 8, &curve);
    let under: [Ring; 2] = [(radius + 0.7, 2.72, [0.0; 3]), (0.0, 4.4, [0.0; 3])];
    let first = mesh.points.len();
    mesh.lathe(V3::default(), 8, &under);
    let warm = hex(palette::WOOD);
    mesh.colours[first..].fill([warm[0], warm[1], warm[2], 1.0]);
    // The underside is the same cone, seen from below.
    let kept = mesh.corners.len() - 8 * 3;
    for triangle in mesh.corners[kept..].chunks_exact_mut(3) {
        triangle.swap(1, 2);
    }
    for normal in &mut mesh.normals[first..] {
        *normal = v3(0.0, -1.0, 0.0);
    }
    site.matter.place(&mesh, Frame::new(PAVILION, PI / 8.0));
}

/// Mooring posts in the water around the pavilion.
fn shore_posts(site: &mut Site, radius: f32) {
    let dark = hex(palette::WOOD_DARK);
    for degrees in [60.0_f32, 118.0, 250.0, 300.0] {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let foot = PAVILION + v3(sine, 0.0, cosine) * (radius + 1.9) + UP * (SEA_LEVEL - 2.4);
        let rings = [
            (0.16, 0.0, dark),
            (0.13, 3.1, dark),
            (0.17, 3.12, hex(palette::LINEN)),
            (0.0, 3.3, hex(palette::LINEN)),
        ];
        site.matter.lathe(foot, 7, &rings);
    }
}
