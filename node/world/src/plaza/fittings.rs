//! What stands on the floors: lamps, benches, the fountain, railings, walls and strings of light.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use super::{
    arithmetic::{Chance, Frame, UP, V3, part, real, steps, v3, yaw_towards},
    land::{
        self, MIDDLE, PAVILION, PIER_HALF, PIER_X, QUAY_EDGE, QUAY_HALF, TERRACE, TERRACE_BACK,
    },
    mesh::{Colour, Mesh, Ring, blend, hex, tone},
    palette,
    site::Site,
};

/// A seat is so high, and people sit so far apart on a bench.
const SEAT: f32 = 0.45;
const APART: f32 = 0.42;
/// What cannot be seen and holds people back reaches so high.
const HOLD: f32 = 3.4;

pub(super) fn build(site: &mut Site) {
    lamps(site);
    benches(site);
    fountain(site);
    railings(site);
    walls(site);
    strings(site);
}

/// A ring around the middle of the plaza.
fn on_ring(degrees: f32, radius: f32) -> V3 {
    let turn = degrees.to_radians();
    MIDDLE + v3(turn.sin() * radius, 0.0, turn.cos() * radius)
}

/// Light that lies on the floor.
pub(super) fn pool(site: &mut Site, at: V3, radius: f32, strength: f32) {
    const SIDES: usize = 14;
    let warm = [1.0, 0.62, 0.28];
    let mesh = &mut site.pools;
    let heart = mesh.faded(at + UP * 0.02, UP, [warm[0], warm[1], warm[2], strength]);
    let rings = [(0.3, 0.62), (0.62, 0.2), (1.0, 0.0)];
    let mut before: Vec<u32> = vec![heart; SIDES];
    for (far, share) in rings {
        let ring: Vec<u32> = (0..SIDES)
            .map(|side| {
                let (sine, cosine) = (TAU * part(side, SIDES)).sin_cos();
                let flat = v3(at.x + sine * radius * far, 0.0, at.z + cosine * radius * far);
                let level = at.y.max(land::surface(flat.x, flat.z) + 0.015);
                let point = v3(flat.x, level + 0.02, flat.z);
                mesh.faded(point, UP, [warm[0], warm[1], warm[2], strength * share])
            })
            .collect();
        for side in 0..SIDES {
            let next = (side + 1) % SIDES;
            mesh.corners.extend([before[side], ring[side], ring[next]]);
            if before[side] != heart {
                mesh.corners.extend([before[side], ring[next], before[next]]);
            }
        }
        before = ring;
    }
}

/// A lamp on a post of so many metres; its light lies around its foot.
fn lamp(site: &mut Site, foot: V3, tall: f32) {
    let iron = hex(palette::IRON);
    let light = tone(iron, 1.7);
    let post: [Ring; 8] = [
        (0.2, 0.0, iron),
        (0.2, 0.1, light),
        (0.12, 0.16, iron),
        (0.09, 0.5, iron),
        (0.055, 0.56, light),
        (0.045, tall - 0.12, iron),
        (0.11, tall - 0.06, light),
        (0.16, tall, iron),
    ];
    site.matter.lathe(foot, 8, &post);
    let glass =
        [(0.13, tall, [1.0; 3]), (0.19, tall + 0.36, [1.0; 3]), (0.0, tall + 0.4, [1.0; 3])];
    site.lanterns.lathe(foot, 6, &glass);
    let cap: [Ring; 5] = [
        (0.27, tall + 0.34, iron),
        (0.25, tall + 0.4, light),
        (0.08, tall + 0.56, iron),
        (0.03, tall + 0.6, light),
        (0.0, tall + 0.72, iron),
    ];
    site.matter.lathe(foot, 6, &cap);
    for at in 0..6 {
        let (sine, cosine) = (TAU * (real(at) + 0.5) / 6.0).sin_cos();
        let bar = |radius: f32, height: f32| foot + v3(sine * radius, height, cosine * radius);
        site.matter.beam(bar(0.135, tall), bar(0.2, tall + 0.36), 0.022, iron);
    }
    site.post(foot, 0.14, tall);
    pool(site, foot, 1.3 * tall.max(2.2), 0.5);
}

fn lamps(site: &mut Site) {
    for degrees in [22.0, 68.0, 112.0, 146.0, 214.0, 248.0, 290.0, 338.0] {
        lamp(site, on_ring(degrees, 17.4), 3.0);
    }
    for x in [-20.5, -8.5, 14.5, 20.5] {
        lamp(site, v3(x, -0.02, 22.7), 2.8);
    }
    for side in [-1.0, 1.0] {
        lamp(site, v3(side * 4.55, 0.85, -18.2), 1.5);
        lamp(site, v3(side * 4.55, TERRACE + 0.5, -24.4), 1.5);
        lamp(site, v3(side * 6.6, TERRACE, -37.6), 2.8);
        for (x, z) in [(17.2, -22.4), (25.6, -13.0), (26.0, 1.2)] {
            lamp(site, v3(side * x, land::surface(side * x, z), z), 2.8);
        }
    }
    for (at, z) in [27.0, 32.5, 38.0].into_iter().enumerate() {
        let side = if at % 2 == 0 { 1.0 } else { -1.0 };
        lamp(site, v3(PIER_X + side * (PIER_HALF - 0.2), 0.0, z), 2.3);
    }
    site.lights.push((v3(0.0, TERRACE + 2.2, -23.5), 16.0));
}

/// A bench for two that faces +Z.
fn bench() -> Mesh {
    let mut mesh = Mesh::default();
    let (iron, wood) = (hex(palette::IRON), hex(palette::WOOD_LIGHT));
    for side in [-0.78, 0.78] {
        for z in [-0.2, 0.2] {
            mesh.block(v3(side, 0.0, z), v3(0.06, SEAT - 0.05, 0.06), iron, iron);
        }
        mesh.block(v3(side, SEAT - 0.09, 0.0), v3(0.05, 0.05, 0.46), iron, iron);
        let back = [v3(side, SEAT - 0.05, -0.2), v3(side, 0.94, -0.34)];
        mesh.beam(back[0], back[1], 0.05, iron);
        mesh.block(v3(side, 0.64, -0.02), v3(0.07, 0.04, 0.48), wood, wood);
        mesh.block(v3(side, SEAT - 0.05, 0.19), v3(0.04, 0.24, 0.04), iron, iron);
    }
    for at in 0..4 {
        let z = -0.17 + 0.115 * real(at);
        let size = v3(1.74, 0.045, 0.095);
        let shade = tone(wood, 0.9 + 0.05 * real(at % 3));
        mesh.block(v3(0.0, SEAT - 0.045, z), size, tone(shade, 0.6), shade);
    }
    for (height, z) in [(0.56, -0.245), (0.69, -0.275), (0.82, -0.305)] {
        let size = v3(1.74, 0.1, 0.035);
        mesh.block(v3(0.0, height, z), size, tone(wood, 0.8), wood);
    }
    mesh
}

/// Where benches stand, and the yaw that they face.
fn bench_places() -> Vec<Frame> {
    let level = |x: f32, z: f32, level: f32, yaw: f32| Frame::new(v3(x, level, z), yaw);
    let mut places = Vec::new();
    for degrees in [45.0, 90.0, 128.0, 232.0, 270.0] {
        let at = on_ring(degrees, 15.2);
        places.push(Frame::new(at, yaw_towards(at, MIDDLE)));
    }
    for x in [-14.5, -3.5, 2.5, 17.5] {
        places.push(level(x, 21.6, -0.02, 0.0));
    }
    for side in [-1.0, 1.0] {
        places.push(level(side * 6.1, -29.2, TERRACE, -side * 0.55));
        places.push(level(side * 6.3, -33.4, TERRACE, -side * FRAC_PI_2));
    }
    for (x, z, yaw) in land::LAWN_BENCHES {
        places.push(level(x, z, land::surface(x, z), yaw));
    }
    for degrees in [-70.0, 0.0, 70.0_f32] {
        let turn = degrees.to_radians();
        let at = PAVILION + v3(turn.sin() * 3.0, 0.0, turn.cos() * 3.0);
        places.push(Frame::new(at, turn + PI));
    }
    places
}

fn benches(site: &mut Site) {
    let mesh = bench();
    for frame in bench_places() {
        site.matter.place(&mesh, frame);
        site.solid(frame, v3(0.0, 0.0, -0.02), v3(1.74, SEAT, 0.44));
        site.solid(frame, v3(0.0, SEAT, -0.28), v3(1.74, 0.48, 0.1));
        for side in [-APART, APART] {
            site.seats.push(frame.within(v3(side, 0.0, 0.0), 0.0));
        }
    }
}

/// The fountain in the middle of the plaza: a basin to sit on, and two bowls that overflow.
fn fountain(site: &mut Site) {
    const SIDES: usize = 16;
    let (stone, dark) = (hex(palette::CREAM), hex(palette::STONE_DARK));
    let light = tone(hex(palette::STONE), 1.1);
    let basin: [Ring; 9] = [
        (3.36, -0.02, dark),
        (3.36, 0.1, light),
        (3.05, 0.14, light),
        (3.0, 0.36, stone),
        (3.16, 0.4, light),
        (3.16, SEAT, stone),
        (2.6, SEAT, stone),
        (2.56, 0.4, light),
        (2.5, 0.1, tone(dark, 0.7)),
    ];
    site.matter.lathe(MIDDLE, SIDES, &basin);
    let stem: [Ring; 15] = [
        (0.62, 0.0, dark),
        (0.5, 0.5, light),
        (0.3, 0.66, stone),
        (0.24, 1.1, stone),
        (0.4, 1.22, light),
        (1.25, 1.42, stone),
        (1.32, 1.52, stone),
        (1.22, 1.5, light),
        (0.24, 1.36, dark),
        (0.16, 1.9, stone),
        (0.3, 2.02, light),
        (0.68, 2.16, stone),
        (0.72, 2.24, stone),
        (0.62, 2.22, light),
        (0.1, 2.14, dark),
    ];
    site.matter.lathe(MIDDLE, SIDES, &stem);
    let finial: [Ring; 6] = [
        (0.07, 2.1, stone),
        (0.07, 2.4, light),
        (0.17, 2.52, stone),
        (0.2, 2.66, stone),
        (0.12, 2.8, light),
        (0.0, 2.96, stone),
    ];
    site.matter.lathe(MIDDLE, 10, &finial);
    let water = hex(palette::SEA_SHALLOW);
    for (radius, level) in [(2.53, 0.33), (1.24, 1.49), (0.64, 2.21)] {
        let rings = [(radius, level, water), (0.0, level, tone(water, 1.15))];
        site.basin.lathe(MIDDLE, SIDES, &rings);
    }
    curtain(&mut site.spray, &[(0.7, 2.23), (0.86, 2.16), (0.98, 1.9), (1.05, 1.52)]);
    curtain(&mut site.spray, &[(1.3, 1.51), (1.5, 1.42), (1.68, 1.0), (1.78, 0.34)]);
    site.post(MIDDLE, 3.16, SEAT);
    site.post(MIDDLE, 0.9, 2.9);
    for at in 0..8 {
        let turn = TAU * (real(at) + 0.5) / 8.0;
        let at = MIDDLE + v3(turn.sin() * 2.95, 0.0, turn.cos() * 2.95);
        site.seats.push(Frame::new(at, turn));
    }
    site.lights.push((MIDDLE + UP * 3.4, 14.0));
    for at in 0..8 {
        let (sine, cosine) = (TAU * part(at, 8)).sin_cos();
        let foot = MIDDLE + v3(sine * 2.1, 0.3, cosine * 2.1);
        site.lanterns.lathe(
            foot,
            5,
            &[(0.1, 0.0, [1.0; 3]), (0.08, 0.1, [1.0; 3]), (0.0, 0.14, [1.0; 3])],
        );
    }
}

/// A curtain of falling water in threads, thinner where it falls faster.
fn curtain(mesh: &mut Mesh, line: &[(f32, f32)]) {
    const THREADS: usize = 48;
    let mut before: Vec<u32> = Vec::new();
    for (at, (radius, height)) in line.iter().enumerate() {
        let alpha = [0.75, 0.6, 0.42, 0.3][at.min(3)];
        let ring: Vec<u32> = (0..THREADS)
            .map(|cord| {
                let (sine, cosine) = (TAU * part(cord, THREADS)).sin_cos();
                let point = MIDDLE + v3(sine * radius, *height, cosine * radius);
                let share = if cord % 2 == 0 { alpha } else { alpha * 0.22 };
                mesh.faded(point, v3(sine, 0.3, cosine).unit(), [0.92, 0.97, 1.0, share])
            })
            .collect();
        for cord in 0..before.len() {
            let next = (cord + 1) % THREADS;
            mesh.corners.extend([ring[cord], ring[next], before[next]]);
            mesh.corners.extend([ring[cord], before[next], before[cord]]);
        }
        before = ring;
    }
}

/// Posts and rails along a line, and a wall that cannot be seen.
pub(super) fn railing(site: &mut Site, from: V3, to: V3, colours: (Colour, Colour)) {
    let (post, rail) = colours;
    let length = (to - from).length();
    let count = steps(length, 1.9);
    for at in 0..=count {
        let foot = from + (to - from) * (real(at) / real(count));
        site.matter.block(foot, v3(0.11, 0.98, 0.11), tone(post, 0.7), post);
        site.matter.tapered(foot + UP * 0.98, v3(0.16, 0.1, 0.16), 0.3, rail, rail);
    }
    for (height, thick) in [(0.92, 0.075), (0.5, 0.035), (0.22, 0.035)] {
        site.matter.beam(from + UP * height, to + UP * height, thick, rail);
    }
    hold(site, from, to);
}

/// A wall that cannot be seen and that nobody gets over.
fn hold(site: &mut Site, from: V3, to: V3) {
    let middle = (from + to) * 0.5;
    let frame = Frame::new(v3(middle.x, from.y.min(to.y), middle.z), yaw_towards(from, to));
    let deep = 1.2;
    let length = v3(to.x - from.x, 0.0, to.z - from.z).length();
    let size = v3(0.24, HOLD + deep + (from.y - to.y).abs(), length + 0.24);
    site.solid(frame, UP * -deep, size);
}

fn railings(site: &mut Site) {
    let iron = (hex(palette::IRON), tone(hex(palette::IRON), 1.5));
    let edge = QUAY_EDGE - 0.35;
    let side = QUAY_HALF - 0.3;
    let at = |x: f32, z: f32| v3(x, -0.02, z);
    railing(site, at(PIER_X + PIER_HALF, edge), at(side, edge), iron);
    railing(site, at(-side, edge), at(PIER_X - PIER_HALF, edge), iron);
    railing(site, at(side, edge), at(side, 16.3), iron);
    railing(site, at(-side, edge), at(-side, 16.3), iron);
}

/// Low walls of stone along the land's edge, which the ground carries.
fn walls(site: &mut Site) {
    let mut chance = Chance::new(5);
    for pair in land::EDGE.windows(2) {
        let flat = |(x, z): (f32, f32)| v3(x, 0.0, z);
        let (from, to) = (flat(pair[0]), flat(pair[1]));
        let count = steps((to - from).length(), 2.2);
        let yaw = yaw_towards(from, to);
        let ground = |share: f32| {
            let place = from + (to - from) * share;
            v3(place.x, land::surface(place.x, place.z), place.z)
        };
        for at in 0..count {
            let (start, end) = (ground(part(at, count)), ground(part(at + 1, count)));
            let middle = (start + end) * 0.5;
            let frame = Frame::new(v3(middle.x, start.y.min(end.y) - 0.4, middle.z), yaw);
            let long = (end - start).length() + 0.06;
            let tall = 1.12 + (start.y - end.y).abs() + chance.between(-0.03, 0.03);
            let base =
                blend(hex(palette::STONE), hex(palette::STONE_DARK), chance.between(0.1, 0.6));
            let mut mesh = Mesh::default();
            mesh.block(V3::default(), v3(0.42, tall, long), tone(base, 0.62), base);
            let cap = v3(0.56, 0.12, long + 0.02);
            mesh.block(UP * tall, cap, tone(base, 1.0), tone(base, 1.22));
            if at == 0 {
                let post = v3(0.0, 0.0, -long / 2.0);
                mesh.block(post, v3(0.72, tall + 0.3, 0.72), tone(base, 0.7), tone(base, 1.1));
                let top = post + UP * (tall + 0.3);
                mesh.tapered(top, v3(0.86, 0.24, 0.86), 0.4, tone(base, 1.1), tone(base, 1.25));
            }
            site.matter.place(&mesh, frame);
            hold(site, start, end);
        }
    }
}

/// Strings of small lights between masts around the plaza.
fn strings(site: &mut Site) {
    let masts: Vec<V3> = [10.0, 52.0, 98.0, 136.0, 224.0, 262.0, 350.0]
        .into_iter()
        .map(|degrees| on_ring(degrees, 18.3))
        .collect();
    let wood = hex(palette::WOOD_DARK);
    for mast in &masts {
        let rings = [(0.09, 0.0, wood), (0.06, 5.0, tone(wood, 1.3)), (0.0, 5.1, wood)];
        site.matter.lathe(*mast, 6, &rings);
        site.post(*mast, 0.1, 4.0);
    }
    let pairs = [(0, 1), (1, 2), (2, 3), (4, 5), (6, 0), (0, 3), (6, 4), (1, 6)];
    for (one, two) in pairs {
        string(site, masts[one] + UP * 4.95, masts[two] + UP * 4.95);
    }
}

fn string(site: &mut Site, from: V3, to: V3) {
    let length = (to - from).length();
    let count = steps(length, 1.25);
    let sag = 0.05 * length;
    let point = |share: f32| from + (to - from) * share - UP * (4.0 * sag * share * (1.0 - share));
    let wire = hex(0x003a_3232);
    for at in 0..count {
        let (start, end) = (point(part(at, count)), point(part(at + 1, count)));
        site.matter.beam(start, end, 0.022, wire);
        if at > 0 {
            let bulb = [
                (0.0, -0.2, [1.0; 3]),
                (0.075, -0.11, [1.0; 3]),
                (0.05, -0.03, [1.0; 3]),
                (0.0, 0.0, [1.0; 3]),
            ];
            site.lanterns.lathe(start, 5, &bulb);
        }
    }
}

/// The middle of the terrace's southern end, where the last portal stands.
pub(super) fn terrace_end() -> V3 {
    v3(0.0, TERRACE, TERRACE_BACK + 1.4)
}
