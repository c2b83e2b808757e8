//! The paved floors: the round plaza with its star, the quay, the terrace and the stairs between them.

use std::f32::consts::TAU;

use super::{
    arithmetic::{Chance, Frame, UP, V3, part, real, steps, v3},
    land::{
        self, MIDDLE, PLAZA_RADIUS, QUAY_BACK, QUAY_EDGE, QUAY_HALF, SEA_LEVEL, STAIRS_FOOT,
        STAIRS_HALF, STAIRS_HEAD, TERRACE, TERRACE_BACK, TERRACE_HALF,
    },
    mesh::{Colour, Mesh, blend, hex, tone},
    palette,
    site::Site,
};

/// Joints lie so much lower than the stones between them, and are so wide.
const JOINT_DEPTH: f32 = 0.014;
const JOINT: f32 = 0.025;
/// The quay lies a little lower than the plaza, whose rim is seen against it.
const QUAY_LEVEL: f32 = -0.02;

pub(super) fn build(site: &mut Site) {
    let mut chance = Chance::new(11);
    plaza(site, &mut chance);
    quay(site, &mut chance);
    let apron = Area { from: (-5.0, STAIRS_FOOT - 0.1), to: (5.0, -14.5), level: -0.012 };
    slabs(&mut site.matter, &mut chance, &apron, (1.25, 0.9), palette::HONEY);
    floor(site, &apron, 0.3);
    terrace(site, &mut chance);
    stairs(site, &mut chance);
    stepping_stones(site, &mut chance);
}

/// A level rectangle.
struct Area {
    from: (f32, f32),
    to: (f32, f32),
    level: f32,
}

impl Area {
    fn size(&self) -> (f32, f32) {
        (self.to.0 - self.from.0, self.to.1 - self.from.1)
    }
}

/// The body that holds people over an area.
fn floor(site: &mut Site, area: &Area, deep: f32) {
    let (width, depth) = area.size();
    let middle = v3(
        f32::midpoint(area.from.0, area.to.0),
        area.level - deep,
        f32::midpoint(area.from.1, area.to.1),
    );
    let size = v3(width, deep, depth);
    site.floors.block(middle, size, [0.0; 3], [0.0; 3]);
    let joint = hex(palette::JOINT);
    let below = middle - v3(0.0, JOINT_DEPTH, 0.0);
    site.matter.block(below, size, tone(joint, 0.8), joint);
}

fn stone(chance: &mut Chance, code: u32) -> Colour {
    let warm = blend(hex(code), hex(palette::HONEY), chance.between(0.0, 0.25));
    tone(warm, chance.between(0.84, 1.06))
}

fn tile(mesh: &mut Mesh, corners: &[V3; 4], colour: Colour) {
    let coloured = corners.map(|corner| (corner, colour));
    mesh.face(&coloured);
}

/// Which stone lies so far from the middle of the plaza, at such a turn.
fn pattern(radius: f32, turn: f32, ring: usize, chance: &mut Chance) -> Colour {
    let eighth = TAU / 8.0;
    let off = (turn / eighth - (turn / eighth).round()) * eighth;
    let ray = 2.9 * (1.0 - radius / 13.5);
    let long_ray = (turn / eighth).round().rem_euclid(2.0) < 0.5;
    let reach = if long_ray { ray } else { ray * 0.72 - 0.35 };
    if matches!(ring, 0 | 1 | 17) {
        return stone(chance, palette::SLATE);
    }
    if ring == 10 || ring == 12 {
        return stone(chance, if ring == 10 { palette::CLAY } else { palette::SLATE });
    }
    if ring < 10 && off.abs() * radius < reach {
        return stone(chance, if off > 0.0 { palette::CLAY } else { palette::SLATE });
    }
    let light = chance.unit() > if ring > 12 { 0.35 } else { 0.18 };
    stone(chance, if light { palette::SAND } else { palette::HONEY })
}

fn plaza(site: &mut Site, chance: &mut Chance) {
    const INNER: f32 = 3.4;
    const RINGS: usize = 18;
    let width = (PLAZA_RADIUS - INNER) / real(RINGS);
    for ring in 0..RINGS {
        let inner = INNER + width * real(ring) + JOINT;
        let outer = INNER + width * real(ring + 1);
        let count = steps(TAU * outer / 8.0, 1.12) * 8;
        let shift = if ring % 2 == 0 { 0.0 } else { 0.5 };
        for at in 0..count {
            let start = TAU * (real(at) + shift) / real(count);
            let end = TAU * (real(at + 1) + shift) / real(count) - JOINT / outer;
            let colour = pattern(outer - width / 2.0, f32::midpoint(start, end), ring, chance);
            let corner = |turn: f32, far: f32| MIDDLE + v3(turn.sin(), 0.0, turn.cos()) * far;
            let corners = [
                corner(start, inner),
                corner(start, outer),
                corner(end, outer),
                corner(end, inner),
            ];
            tile(&mut site.matter, &corners, colour);
        }
    }
    let joint = hex(palette::JOINT);
    let below = PLAZA_RADIUS - 0.01;
    let rings = [(below, -0.5, joint), (below, -JOINT_DEPTH, joint), (0.0, -JOINT_DEPTH, joint)];
    site.matter.lathe(MIDDLE, 96, &rings);
    let rings = [(PLAZA_RADIUS, -0.4, joint), (PLAZA_RADIUS, 0.0, joint), (0.0, 0.0, joint)];
    site.floors.lathe(MIDDLE, 96, &rings);
}

/// Slabs side by side, each row shifted against the one before.
fn slabs(mesh: &mut Mesh, chance: &mut Chance, area: &Area, size: (f32, f32), code: u32) {
    slabs_where(mesh, chance, area, size, code, |_, _| true);
}

fn slabs_where(
    mesh: &mut Mesh,
    chance: &mut Chance,
    area: &Area,
    size: (f32, f32),
    code: u32,
    keep: impl Fn(f32, f32) -> bool,
) {
    let (width, depth) = area.size();
    let rows = steps(depth, size.1);
    let deep = depth / real(rows);
    for row in 0..rows {
        let near = area.from.1 + deep * real(row);
        let mut left = area.from.0 - if row % 2 == 0 { 0.0 } else { size.0 * 0.5 };
        while left < area.from.0 + width - 0.05 {
            let long = size.0 * chance.between(0.8, 1.2);
            let (from, to) = (left.max(area.from.0), (left + long).min(area.to.0));
            // What would be left of a row is not worth a slab of its own.
            let to = if area.to.0 - to < size.0 * 0.4 { area.to.0 } else { to };
            left = to;
            if to - from < 0.05 || !keep(f32::midpoint(from, to), near + deep / 2.0) {
                continue;
            }
            let (to, far) = (to - JOINT, near + deep - JOINT);
            let corners = [(from, near), (from, far), (to, far), (to, near)];
            let colour = stone(chance, code);
            tile(mesh, &corners.map(|(x, z)| v3(x, area.level, z)), colour);
        }
    }
}

fn quay(site: &mut Site, chance: &mut Chance) {
    let all = Area { from: (-QUAY_HALF, QUAY_BACK), to: (QUAY_HALF, QUAY_EDGE), level: QUAY_LEVEL };
    let paved = Area {
        from: (-QUAY_HALF + 0.5, QUAY_BACK),
        to: (QUAY_HALF - 0.5, QUAY_EDGE - 0.7),
        level: QUAY_LEVEL,
    };
    let seen = |x: f32, z: f32| (v3(x, 0.0, z) - MIDDLE).length() > PLAZA_RADIUS - 0.8;
    slabs_where(&mut site.matter, chance, &paved, (1.5, 0.9), palette::SAND, seen);
    for (from, to) in [
        ((-QUAY_HALF, QUAY_EDGE - 0.7), (QUAY_HALF, QUAY_EDGE)),
        ((-QUAY_HALF, QUAY_BACK), (-QUAY_HALF + 0.5, QUAY_EDGE - 0.7)),
        ((QUAY_HALF - 0.5, QUAY_BACK), (QUAY_HALF, QUAY_EDGE - 0.7)),
    ] {
        let coping = Area { from, to, level: QUAY_LEVEL };
        let size = if to.1 - from.1 < 1.0 { (1.9, 0.7) } else { (0.5, 1.4) };
        slabs(&mut site.matter, chance, &coping, size, palette::SLATE);
    }
    floor(site, &all, 0.3);
    let corner = |x: f32, z: f32| v3(x, 0.0, z);
    let (west, east) = (QUAY_HALF, -QUAY_HALF);
    masonry(site, chance, corner(east, QUAY_EDGE), corner(west, QUAY_EDGE));
    masonry(site, chance, corner(west, QUAY_EDGE), corner(west, QUAY_BACK));
    masonry(site, chance, corner(east, QUAY_BACK), corner(east, QUAY_EDGE));
}

/// The wall of the quay from one corner to another, the water on the left hand.
fn masonry(site: &mut Site, chance: &mut Chance, from: V3, to: V3) {
    const COURSES: usize = 4;
    let along = (to - from).unit();
    let count = steps((to - from).length(), 1.3);
    let long = (to - from).length() / real(count);
    for course in 0..COURSES {
        let low = QUAY_LEVEL - 0.42 * real(course + 1) - if course == 3 { 1.6 } else { 0.0 };
        let high = QUAY_LEVEL - 0.42 * real(course);
        let shift = if course % 2 == 0 { 0.0 } else { 0.5 };
        for at in 0..=count {
            let start = ((real(at) - shift) * long).max(0.0);
            let end = ((real(at + 1) - shift) * long).min(long * real(count));
            if end - start < 0.1 {
                continue;
            }
            let (near, far) = (from + along * start, from + along * end);
            let dry = stone(chance, palette::STONE_DARK);
            let moss = blend(dry, hex(palette::GRASS_DEEP), 0.55);
            let tint = |level: f32| if level < SEA_LEVEL + 0.1 { tone(moss, 0.7) } else { dry };
            site.matter.face(&[
                (near + UP * low, tint(low)),
                (far + UP * low, tint(low)),
                (far + UP * high, tint(high)),
                (near + UP * high, tint(high)),
            ]);
        }
    }
}

fn terrace(site: &mut Site, chance: &mut Chance) {
    let all = Area {
        from: (-TERRACE_HALF, TERRACE_BACK),
        to: (TERRACE_HALF, STAIRS_HEAD),
        level: TERRACE,
    };
    floor(site, &all, 0.5);
    let rim = 0.55;
    let inner = Area {
        from: (all.from.0 + rim, all.from.1 + rim),
        to: (all.to.0 - rim, all.to.1 - rim),
        level: TERRACE,
    };
    // A runner of small stones leads from the last portal to the stairs.
    let lanes: [(f32, f32, (f32, f32), u32); 7] = [
        (inner.from.0, -2.0, (1.05, 0.72), palette::SAND),
        (-2.0, -1.68, (0.32, 0.6), palette::SLATE),
        (-1.68, -0.5, (0.59, 0.42), palette::HONEY),
        (-0.5, 0.5, (0.5, 0.5), palette::CLAY),
        (0.5, 1.68, (0.59, 0.42), palette::HONEY),
        (1.68, 2.0, (0.32, 0.6), palette::SLATE),
        (2.0, inner.to.0, (1.05, 0.72), palette::SAND),
    ];
    for (left, right, size, code) in lanes {
        let lane = Area { from: (left, inner.from.1), to: (right, inner.to.1), level: TERRACE };
        slabs(&mut site.matter, chance, &lane, size, code);
    }
    for (from, to, size) in [
        (all.from, (all.to.0, inner.from.1), (1.6, rim)),
        ((all.from.0, inner.to.1), all.to, (1.6, rim)),
        ((all.from.0, inner.from.1), (inner.from.0, inner.to.1), (rim, 1.5)),
        ((inner.to.0, inner.from.1), (all.to.0, inner.to.1), (rim, 1.5)),
    ] {
        slabs(&mut site.matter, chance, &Area { from, to, level: TERRACE }, size, palette::CLAY);
    }
}

fn stairs(site: &mut Site, chance: &mut Chance) {
    const STEPS: usize = 16;
    let (rise, tread) = (TERRACE / real(STEPS), (STAIRS_FOOT - STAIRS_HEAD) / real(STEPS));
    for step in 0..STEPS {
        let (front, top) = (STAIRS_FOOT - tread * real(step), rise * real(step + 1));
        let size = v3(STAIRS_HALF * 2.0, rise + 0.1, tread + 0.05);
        let foot = v3(0.0, top - size.y, front - size.z / 2.0);
        site.floors.block(foot, size, [0.0; 3], [0.0; 3]);
        let pieces = 6;
        for piece in 0..pieces {
            let wide = size.x / real(pieces);
            let left = -STAIRS_HALF + size.x * part(piece, pieces) + wide / 2.0;
            let colour = stone(chance, palette::SAND);
            let block = v3(wide - JOINT, size.y, size.z);
            site.matter.block(foot + v3(left, 0.0, 0.0), block, tone(colour, 0.72), colour);
        }
    }
    // Cheeks beside the stairs: blocks that go down with them and carry the lamps.
    for side in [-1.0, 1.0] {
        for (start, end, top) in
            [(-17.4, -19.0, 0.75), (-19.0, -20.8, 1.7), (-20.8, -22.6, 2.65), (-22.6, -25.3, 3.6)]
        {
            let deep = 0.6;
            let size = v3(0.7, top + deep, start - end);
            let foot = v3(side * (STAIRS_HALF + 0.35), -deep, f32::midpoint(start, end));
            let colour = stone(chance, palette::STONE);
            site.matter.block(foot, size, tone(colour, 0.7), colour);
            let cap = v3(0.84, 0.1, size.z + 0.08);
            site.matter.block(foot + UP * size.y, cap, colour, tone(colour, 1.12));
            site.solid(Frame::new(V3::default(), 0.0), foot, size + UP * 0.1);
        }
    }
}

/// Flat stones of uneven shape along the paths, as high as the ground that is drawn.
fn stepping_stones(site: &mut Site, chance: &mut Chance) {
    for (line, half) in land::PATHS {
        for pair in line.windows(2) {
            let from = v3(pair[0].0, 0.0, pair[0].1);
            let way = v3(pair[1].0, 0.0, pair[1].1) - from;
            let aside = way.unit().cross(UP);
            let count = steps(way.length(), 0.85);
            for at in 0..count {
                for lane in [-0.5, 0.5] {
                    let off = (lane + chance.between(-0.16, 0.16)) * half * 1.15;
                    let share = (real(at) + chance.between(0.15, 0.85)) / real(count);
                    let middle = from + way * share + aside * off;
                    let on_plaza = (middle - MIDDLE).length() < PLAZA_RADIUS + 0.7;
                    if !on_plaza && middle.z < QUAY_BACK - 0.8 && chance.unit() < 0.88 {
                        stepping_stone(&mut site.matter, chance, middle);
                    }
                }
            }
        }
    }
}

fn stepping_stone(mesh: &mut Mesh, chance: &mut Chance, middle: V3) {
    const SIDES: usize = 6;
    let (colour, turn) = (stone(chance, palette::STONE), chance.yaw());
    let radius = chance.between(0.26, 0.42);
    let corners: Vec<V3> = (0..SIDES)
        .map(|side| {
            let (sine, cosine) = (turn + TAU * part(side, SIDES)).sin_cos();
            let far = radius * chance.between(0.8, 1.15);
            let (x, z) = (middle.x + sine * far * 1.2, middle.z + cosine * far);
            v3(x, land::surface(x, z) + 0.022, z)
        })
        .collect();
    mesh.panel(&corners, colour);
}
