//! What grows: trees of five kinds, bushes, lavender, flowers, tufts of grass, and the woods on the hills.

use super::{
    arithmetic::{Chance, Frame, UP, V3, mix, noise, real, smooth, v3},
    land::{self, MIDDLE, PLAZA_RADIUS, QUAY_BACK, QUAY_HALF},
    mesh::{Ball, Colour, Mesh, blend, hex, tone},
    palette,
    site::Site,
};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Broad,
    Warm,
    Pine,
    Cypress,
    Blossom,
}

/// The trees that people walk among: where, of which kind and how large.
const TREES: [(f32, f32, Kind, f32); 43] = [
    (11.4, -19.6, Kind::Blossom, 1.0),
    (-11.0, -20.2, Kind::Pine, 1.0),
    (13.5, -31.0, Kind::Broad, 1.15),
    (-14.0, -30.5, Kind::Broad, 1.1),
    (-22.5, -24.5, Kind::Blossom, 1.05),
    (24.5, -25.5, Kind::Pine, 1.3),
    (22.3, -13.0, Kind::Warm, 0.95),
    (-21.8, -12.6, Kind::Blossom, 0.9),
    (33.5, -16.0, Kind::Broad, 1.2),
    (-31.0, -18.5, Kind::Warm, 1.1),
    (21.5, 7.5, Kind::Blossom, 0.85),
    (27.3, 13.3, Kind::Pine, 1.05),
    (-28.4, 10.6, Kind::Pine, 1.2),
    (-24.5, 7.4, Kind::Broad, 0.95),
    (-20.3, 15.8, Kind::Cypress, 1.0),
    (-22.6, 13.8, Kind::Cypress, 0.85),
    (-17.2, 19.2, Kind::Cypress, 0.8),
    (26.6, -8.8, Kind::Cypress, 1.0),
    (27.6, 5.2, Kind::Cypress, 0.9),
    (35.5, 4.6, Kind::Cypress, 1.15),
    (36.6, -6.2, Kind::Cypress, 1.0),
    (34.2, 12.4, Kind::Broad, 0.95),
    (-34.8, -1.5, Kind::Broad, 1.15),
    (-34.5, 8.0, Kind::Warm, 1.0),
    (-35.5, -11.0, Kind::Pine, 1.25),
    (9.8, -39.5, Kind::Blossom, 1.05),
    (-10.0, -39.8, Kind::Warm, 1.05),
    (20.5, -36.0, Kind::Broad, 1.25),
    (-20.0, -36.5, Kind::Pine, 1.3),
    (29.0, -31.5, Kind::Warm, 1.1),
    (-28.5, -30.5, Kind::Broad, 1.2),
    (35.0, -24.0, Kind::Broad, 1.1),
    (-35.0, -24.0, Kind::Cypress, 1.2),
    (-33.6, -26.0, Kind::Cypress, 1.0),
    (46.0, 16.0, Kind::Pine, 1.3),
    (49.0, 8.0, Kind::Pine, 1.5),
    (47.0, -4.0, Kind::Broad, 1.5),
    (-46.0, 9.0, Kind::Pine, 1.4),
    (-48.0, -3.0, Kind::Broad, 1.5),
    (-46.0, -16.0, Kind::Cypress, 1.5),
    (46.5, -17.0, Kind::Cypress, 1.5),
    (12.0, -48.5, Kind::Pine, 1.5),
    (-13.0, -49.0, Kind::Broad, 1.5),
];

/// Balls of two finenesses, of which all crowns are made.
struct Balls {
    fine: Ball,
    coarse: Ball,
}

pub(super) fn build(site: &mut Site) {
    let balls = Balls { fine: Ball::new(1), coarse: Ball::new(0) };
    let mut chance = Chance::new(23);
    for (x, z, kind, size) in TREES {
        let at = v3(x, land::height(x, z) - 0.05, z);
        let frame = Frame::sized(at, chance.yaw(), size * chance.between(0.94, 1.06));
        tree(site, &balls, &mut chance, kind, frame);
    }
    beds(site, &balls, &mut chance);
    pots(site, &balls, &mut chance);
    woods(site, &balls, &mut chance);
    tufts(site, &mut chance);
}

/// One cloud of leaves: a dark heart, and leaves that stand out of it.
fn cloud(
    mesh: &mut Mesh,
    ball: &Ball,
    chance: &mut Chance,
    (middle, radii): (V3, V3),
    [dark, light]: [Colour; 2],
    (leaves, long): (usize, f32),
) {
    let seed = chance.between(0.0, 90.0);
    let bump = |out: V3| 0.9 + 0.16 * noise(out.x * 2.4 + seed, out.y * 2.4 + out.z * 1.9);
    let shade = |out: V3| blend(dark, light, 0.34 + 0.36 * out.y + 0.1 * (bump(out) - 0.9) * 6.0);
    mesh.ball(ball, middle, radii, &shade, &bump);
    for _ in 0..leaves {
        let out = chance.direction();
        let at = middle + v3(out.x * radii.x, out.y * radii.y, out.z * radii.z) * 0.94;
        let across = out.cross(chance.direction()).unit();
        let along = (out.cross(across) + out * chance.between(0.1, 0.75)).unit();
        let length = long * chance.between(0.7, 1.25);
        let normal = (out + UP * 0.35).unit();
        let lit = 0.45 + 0.42 * out.y + chance.between(-0.12, 0.22);
        let (low, high) = (blend(dark, light, lit - 0.12), blend(dark, light, lit + 0.18));
        let wide = across * (length * 0.5);
        let numbers = [
            mesh.vertex(at - along * (length * 0.2) - wide, normal, low),
            mesh.vertex(at - along * (length * 0.2) + wide, normal, blend(low, high, 0.4)),
            mesh.vertex(at + along * length, normal, high),
        ];
        // Turned to the side from which the crown is seen.
        let [left, right, tip] = numbers;
        let outward = across.cross(along).dot(out) > 0.0;
        mesh.corners.extend(if outward { [left, right, tip] } else { [right, left, tip] });
    }
}

fn trunk(mesh: &mut Mesh, height: f32, radius: f32, code: u32) {
    let (low, high) = (tone(hex(code), 0.7), hex(code));
    let rings = [
        (radius * 1.7, -0.3, low),
        (radius * 1.15, 0.25, low),
        (radius * 0.9, height * 0.45, high),
        (radius * 0.7, height, high),
    ];
    mesh.lathe(V3::default(), 7, &rings);
}

fn tree(site: &mut Site, balls: &Balls, chance: &mut Chance, kind: Kind, frame: Frame) {
    let (mut wood, mut crown) = (Mesh::default(), Mesh::default());
    match kind {
        Kind::Broad => broad(&mut wood, &mut crown, balls, chance, palette::LEAF),
        Kind::Warm => broad(&mut wood, &mut crown, balls, chance, palette::LEAF_WARM),
        Kind::Blossom => blossom(&mut wood, &mut crown, balls, chance),
        Kind::Pine => pine(&mut wood, &mut crown, balls, chance),
        Kind::Cypress => cypress(&mut wood, &mut crown, balls, chance),
    }
    site.matter.place(&wood, frame);
    site.leaves.place(&crown, frame);
    let radius = if kind == Kind::Cypress { 0.6 } else { 0.34 };
    site.post(frame.at, radius * frame.size, 3.2);
}

fn leaf_colours(codes: [u32; 2], chance: &mut Chance) -> [Colour; 2] {
    let factor = chance.between(0.86, 1.08);
    codes.map(|code| tone(hex(code), factor))
}

fn broad(wood: &mut Mesh, crown: &mut Mesh, balls: &Balls, chance: &mut Chance, codes: [u32; 2]) {
    trunk(wood, 3.0, 0.27, palette::BARK);
    let colours = leaf_colours(codes, chance);
    let turn = chance.yaw();
    for at in 0..5 {
        let angle = turn + std::f32::consts::TAU * real(at) / 5.0;
        let far = chance.between(1.15, 1.5);
        let middle = v3(angle.sin() * far, chance.between(3.1, 3.9), angle.cos() * far);
        wood.beam(v3(0.0, 2.1, 0.0), middle, 0.17, tone(hex(palette::BARK), 0.8));
        let radius = chance.between(1.2, 1.5);
        let radii = v3(radius, radius * 0.84, radius);
        cloud(crown, &balls.fine, chance, (middle, radii), colours, (18, 0.6));
    }
    let top = v3(chance.between(-0.3, 0.3), 4.9, chance.between(-0.3, 0.3));
    cloud(crown, &balls.fine, chance, (top, v3(1.55, 1.25, 1.55)), colours, (24, 0.6));
}

fn blossom(wood: &mut Mesh, crown: &mut Mesh, balls: &Balls, chance: &mut Chance) {
    trunk(wood, 2.1, 0.21, palette::BARK);
    let colours = leaf_colours(palette::BLOSSOM, chance);
    let turn = chance.yaw();
    for at in 0..6 {
        let angle = turn + std::f32::consts::TAU * real(at) / 6.0 + chance.between(-0.3, 0.3);
        let far = chance.between(1.3, 1.9);
        let middle = v3(angle.sin() * far, chance.between(2.7, 3.6), angle.cos() * far);
        wood.beam(v3(0.0, 1.7, 0.0), middle, 0.13, hex(palette::BARK));
        let radius = chance.between(0.85, 1.2);
        let radii = v3(radius, radius * 0.7, radius);
        cloud(crown, &balls.fine, chance, (middle, radii), colours, (25, 0.42));
    }
    let radii = v3(1.4, 0.95, 1.4);
    cloud(crown, &balls.fine, chance, (v3(0.0, 3.95, 0.0), radii), colours, (24, 0.5));
}

/// An umbrella pine: a bare stem that forks below flat clouds of needles.
fn pine(wood: &mut Mesh, crown: &mut Mesh, balls: &Balls, chance: &mut Chance) {
    trunk(wood, 4.6, 0.26, palette::BARK_RED);
    let colours = leaf_colours(palette::PINE, chance);
    let turn = chance.yaw();
    for at in 0..5 {
        let angle = turn + std::f32::consts::TAU * real(at) / 5.0;
        let far = chance.between(1.3, 2.1);
        let middle = v3(angle.sin() * far, chance.between(5.4, 6.0), angle.cos() * far);
        wood.beam(v3(0.0, 4.0, 0.0), middle, 0.16, hex(palette::BARK_RED));
        let radius = chance.between(1.35, 1.7);
        let radii = v3(radius, radius * 0.46, radius);
        cloud(crown, &balls.fine, chance, (middle, radii), colours, (16, 0.52));
    }
    let radii = v3(1.9, 0.85, 1.9);
    cloud(crown, &balls.fine, chance, (v3(0.0, 6.3, 0.0), radii), colours, (22, 0.52));
}

fn cypress(wood: &mut Mesh, crown: &mut Mesh, balls: &Balls, chance: &mut Chance) {
    trunk(wood, 1.2, 0.2, palette::BARK);
    let colours = leaf_colours(palette::CYPRESS, chance);
    for (height, wide, tall) in [(1.9, 0.82, 1.5), (3.6, 0.78, 1.7), (5.4, 0.55, 1.7)] {
        let middle = v3(chance.between(-0.1, 0.1), height, chance.between(-0.1, 0.1));
        cloud(crown, &balls.fine, chance, (middle, v3(wide, tall, wide)), colours, (22, 0.45));
    }
}

/// Bushes, lavender and flowers in beds along walls, paths and stairs.
fn beds(site: &mut Site, balls: &Balls, chance: &mut Chance) {
    let mut bush = |x: f32, z: f32, size: f32, codes: [u32; 2], chance: &mut Chance| {
        let at = v3(x, land::height(x, z) + 0.28 * size, z);
        let wide = size * chance.between(0.75, 1.05);
        let radii = v3(wide, size * 0.62, wide * chance.between(0.8, 1.1));
        let colours = leaf_colours(codes, chance);
        cloud(&mut site.leaves, &balls.fine, chance, (at, radii), colours, (9, 0.4));
    };
    for pair in land::EDGE.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let mut share: f32 = chance.between(0.05, 0.2);
        while share < 0.97 {
            let inward = chance.between(0.955, 0.975);
            let (x, z) = (mix(from.0, to.0, share) * inward, mix(from.1, to.1, share) * inward);
            if x.abs() > 7.5 || z > -40.0 {
                let size = chance.between(0.55, 1.0);
                let codes = if chance.unit() < 0.2 { palette::BLOSSOM } else { palette::BUSH };
                bush(x, z, size, codes, chance);
            }
            share += chance.between(0.14, 0.42);
        }
    }
    for side in [-1.0, 1.0] {
        for at in 0..7 {
            let z = -18.6 - 0.85 * real(at);
            let codes = if at % 3 == 2 { palette::BUSH } else { palette::LAVENDER };
            let x = side * (5.7 + chance.between(0.0, 0.35));
            bush(x, z, chance.between(0.42, 0.62), codes, chance);
        }
        for at in 0..7 {
            let z = -26.8 - 1.6 * real(at) + chance.between(-0.2, 0.2);
            if !(1..=2).contains(&at) {
                bush(side * 8.1, z, chance.between(0.4, 0.55), palette::LAVENDER, chance);
            }
        }
    }
}

/// Pots of clay with flowers, on the terrace and beside the steps of the stage and of the pier.
fn pots(site: &mut Site, balls: &Balls, chance: &mut Chance) {
    const PLACES: [(f32, f32, f32, f32); 14] = [
        (5.9, -25.4, land::TERRACE, 1.0),
        (-5.9, -25.4, land::TERRACE, 1.0),
        (6.45, -26.6, land::TERRACE, 0.72),
        (-6.45, -26.6, land::TERRACE, 0.72),
        (6.5, -31.3, land::TERRACE, 0.9),
        (-6.5, -31.3, land::TERRACE, 0.9),
        (2.6, -37.4, land::TERRACE, 0.9),
        (-2.6, -37.4, land::TERRACE, 0.9),
        (6.3, 22.6, -0.02, 0.85),
        (11.7, 22.6, -0.02, 0.85),
        (5.6, -16.4, 0.0, 0.95),
        (-5.6, -16.4, 0.0, 0.95),
        (22.6, 21.8, -0.02, 1.1),
        (-22.6, 21.8, -0.02, 1.1),
    ];
    let (clay, rim) = (hex(palette::POT), tone(hex(palette::POT), 1.2));
    for (at, (x, z, level, size)) in PLACES.into_iter().enumerate() {
        let foot = v3(x, level, z);
        let rings = [
            (0.24, 0.0, tone(clay, 0.7)),
            (0.4, 0.42, clay),
            (0.42, 0.5, clay),
            (0.5, 0.52, rim),
            (0.5, 0.62, rim),
            (0.4, 0.62, tone(clay, 0.4)),
            (0.0, 0.58, tone(clay, 0.3)),
        ];
        let mut pot = Mesh::default();
        pot.lathe(V3::default(), 12, &rings);
        site.matter.place(&pot, Frame::sized(foot, 0.0, size));
        let codes = if at % 4 < 2 { palette::BLOSSOM } else { palette::LAVENDER };
        let colours = leaf_colours(codes, chance);
        let green = leaf_colours(palette::BUSH, chance);
        let middle = foot + UP * (0.72 * size);
        let low = v3(0.46, 0.26, 0.46) * size;
        cloud(&mut site.leaves, &balls.fine, chance, (middle, low), green, (12, 0.22));
        let high = (middle + UP * (0.2 * size), v3(0.36, 0.24, 0.36) * size);
        cloud(&mut site.leaves, &balls.fine, chance, high, colours, (16, 0.18));
        site.post(foot, 0.46 * size, 0.9 * size);
    }
}

/// The woods on the hills: many small trees of few faces.
fn woods(site: &mut Site, balls: &Balls, chance: &mut Chance) {
    let mut planted = 0;
    for _ in 0..3_400 {
        let (x, z) = (chance.between(-135.0, 135.0), chance.between(-135.0, 80.0));
        let high = land::height(x, z);
        let oval = ((x / 46.0).powi(4) + ((z + 6.0) / 44.0).powi(4)).powf(0.25);
        let dense = smooth(-0.35, 0.25, noise(x / 17.0 + 40.0, z / 17.0));
        if planted == 330 || oval < 1.03 || high < 1.2 || chance.unit() > dense {
            continue;
        }
        planted += 1;
        let size = chance.between(0.8, 1.45) * mix(1.0, 1.5, smooth(60.0, 120.0, x.abs().max(-z)));
        let at = v3(x, high, z);
        let (pointed, warm) = (chance.unit() < 0.4, chance.unit() < 0.22);
        let codes = match (pointed, warm) {
            (true, _) => palette::CYPRESS,
            (false, true) => palette::LEAF_WARM,
            (false, false) => palette::PINE,
        };
        let [dark, light] = leaf_colours(codes, chance);
        let (middle, radii) = if pointed {
            (at + UP * (2.9 * size), v3(1.15, 3.5, 1.15) * size)
        } else {
            (at + UP * (1.7 * size), v3(2.3, 2.3, 2.3) * size)
        };
        let ball = if oval < 1.5 { &balls.fine } else { &balls.coarse };
        let seed = chance.between(0.0, 90.0);
        let bump = |out: V3| 0.92 + 0.2 * noise(out.x * 2.2 + seed, out.y * 2.2 + out.z * 1.7);
        let shade = |out: V3| blend(dark, light, 0.42 + 0.42 * out.y);
        site.woods.ball(ball, middle, radii, &shade, &bump);
    }
}

/// Whether nothing but lawn is at a place.
fn is_lawn(x: f32, z: f32) -> bool {
    let away = (v3(x, 0.0, z) - MIDDLE).length() > PLAZA_RADIUS + 0.5;
    let quay = x.abs() < QUAY_HALF + 0.6 && z > QUAY_BACK - 0.6;
    let terrace = x.abs() < land::TERRACE_HALF + 0.4
        && z > land::TERRACE_BACK - 0.4
        && z < land::STAIRS_FOOT + 1.5;
    away && !quay && !terrace && land::path(x, z) < 0.15 && land::height(x, z) > 0.0
}

fn tufts(site: &mut Site, chance: &mut Chance) {
    const PETALS: [u32; 5] = [0x00ff_e3a3, 0x00f7_a1b0, 0x00ff_f6ea, 0x00b7_98e0, 0x00f2_7a66];
    for _ in 0..3_000 {
        let (x, z) = (chance.between(-40.0, 40.0), chance.between(-43.0, 17.0));
        let flowers = smooth(0.1, 0.45, noise(x / 5.0 + 70.0, z / 5.0));
        if !is_lawn(x, z) || (chance.unit() > 0.3 + flowers) {
            continue;
        }
        let at = v3(x, land::surface(x, z) - 0.02, z);
        if chance.unit() < flowers * 0.75 {
            let code = PETALS[if noise(x / 9.0, z / 9.0) > 0.0 { 0 } else { 2 }
                + usize::from(chance.unit() < 0.4)
                + usize::from(chance.unit() < 0.15)];
            flower(&mut site.grass, chance, at, hex(code));
        } else {
            blades(&mut site.grass, chance, at);
        }
    }
}

/// Three blades of grass, seen from both sides and lit as the lawn is.
fn blades(mesh: &mut Mesh, chance: &mut Chance, at: V3) {
    let green = blend(hex(palette::GRASS), hex(palette::GRASS_GOLD), chance.unit());
    for _ in 0..3 {
        let turn = chance.yaw();
        let aside = v3(turn.cos(), 0.0, -turn.sin()) * 0.045;
        let lean = v3(turn.sin(), 0.0, turn.cos()) * chance.between(0.03, 0.16);
        let foot = at + lean;
        let tip = foot + lean + UP * chance.between(0.16, 0.34);
        let low = tone(green, 0.62);
        let left = mesh.vertex(foot - aside, UP, low);
        let right = mesh.vertex(foot + aside, UP, low);
        let tip = mesh.vertex(tip, UP, tone(green, 1.25));
        mesh.corners.extend([left, right, tip, right, left, tip]);
    }
}

fn flower(mesh: &mut Mesh, chance: &mut Chance, at: V3, petals: Colour) {
    let high = at + UP * chance.between(0.14, 0.3);
    let radius = chance.between(0.06, 0.1);
    let heart = mesh.vertex(high, UP, tone(petals, 0.7));
    let first = chance.yaw();
    let rim: Vec<u32> = (0..5)
        .map(|at| {
            let turn = first + std::f32::consts::TAU * real(at) / 5.0;
            let point = high + v3(turn.sin() * radius, 0.035, turn.cos() * radius);
            mesh.vertex(point, UP, petals)
        })
        .collect();
    for at in 0..5 {
        mesh.corners.extend([heart, rim[at], rim[(at + 1) % 5]]);
    }
    let stem = tone(hex(palette::GRASS_DEEP), 0.9);
    let left = mesh.vertex(at - v3(0.02, 0.0, 0.0), UP, stem);
    let right = mesh.vertex(at + v3(0.02, 0.0, 0.0), UP, stem);
    mesh.corners.extend([left, right, heart, right, left, heart]);
}
