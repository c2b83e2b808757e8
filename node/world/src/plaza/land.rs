//! The shape of the land: a terrace, lawns around a level plaza, a shore, and hills that close the view.

use super::{
    arithmetic::{UP, V3, mix, noise, part, real, rough, smooth, v3},
    mesh::{Colour, Mesh, blend, hex, index, tone},
    palette,
};

/// The level of the sea; the paving is at zero.
pub(super) const SEA_LEVEL: f32 = -0.9;
/// The middle of the round plaza, and how far it reaches.
pub(super) const MIDDLE: V3 = v3(0.0, 0.0, 2.0);
pub(super) const PLAZA_RADIUS: f32 = 19.0;
/// The quay reaches so far to both sides, and from one line to the other towards the sea.
pub(super) const QUAY_HALF: f32 = 24.0;
pub(super) const QUAY_BACK: f32 = 14.0;
pub(super) const QUAY_EDGE: f32 = 24.0;
/// The terrace where people arrive, and the stairs down from it.
pub(super) const TERRACE: f32 = 3.2;
pub(super) const STAIRS_HALF: f32 = 4.2;
pub(super) const STAIRS_FOOT: f32 = -18.0;
pub(super) const STAIRS_HEAD: f32 = -24.3;
/// Half the width of the terrace's paving, and where it ends in the south.
pub(super) const TERRACE_HALF: f32 = 7.2;
pub(super) const TERRACE_BACK: f32 = -38.4;
/// The pier: its middle, half its width, and the middle of the pavilion at its end.
pub(super) const PIER_X: f32 = 9.0;
pub(super) const PIER_HALF: f32 = 1.6;
pub(super) const PAVILION: V3 = v3(9.0, 0.0, 44.0);

/// The land's edge of where people walk, from the quay's western end around to its eastern one.
pub(super) const EDGE: [(f32, f32); 20] = [
    (24.0, 16.4),
    (31.0, 15.2),
    (37.0, 11.0),
    (40.0, 3.0),
    (40.6, -8.0),
    (39.2, -20.0),
    (35.0, -30.0),
    (28.0, -37.5),
    (18.0, -42.0),
    (7.0, -43.6),
    (-7.0, -43.6),
    (-18.0, -42.0),
    (-28.0, -37.5),
    (-35.0, -30.0),
    (-39.2, -20.0),
    (-40.6, -8.0),
    (-40.0, 3.0),
    (-37.0, 11.0),
    (-31.0, 15.2),
    (-24.0, 16.4),
];

/// The fine grid is of cells of so many metres and fits a whole number of times into a coarse one.
const FINE: f32 = 1.2;
const COARSE: f32 = 6.0;
const FINE_LOW: (f32, f32) = (-54.0, -60.0);
const FINE_CELLS: (usize, usize) = (90, 80);
const COARSE_LOW: (f32, f32) = (-150.0, -156.0);
const COARSE_CELLS: (usize, usize) = (50, 43);

/// Paths of gravel, as lines from place to place with half their width.
pub(super) const PATHS: [(&[(f32, f32)], f32); 5] = [
    (&[(9.0, -27.0), (14.5, -24.5), (18.5, -19.0), (18.0, -11.0), (15.0, -7.0)], 1.1),
    (&[(-9.0, -27.0), (-14.5, -24.5), (-18.5, -19.0), (-18.0, -11.0), (-15.0, -7.0)], 1.1),
    (&[(17.0, 1.0), (24.0, -0.5), (27.5, -4.0), (28.0, -11.0), (24.0, -18.0), (18.0, -21.0)], 1.2),
    (
        &[
            (-17.0, 1.0),
            (-24.0, -0.5),
            (-28.0, -5.0),
            (-28.0, -12.0),
            (-24.0, -18.0),
            (-18.0, -21.0),
        ],
        1.2,
    ),
    (&[(27.5, -2.0), (28.5, 5.0), (26.0, 12.0), (22.0, 16.5)], 1.2),
];

fn towards_middle(x: f32, z: f32) -> f32 {
    v3(x - MIDDLE.x, 0.0, z - MIDDLE.z).length()
}

/// How far inland of the shore a place is; the shore runs out into headlands on both sides.
pub(super) fn inland(x: f32, z: f32) -> f32 {
    let headland =
        if x > 0.0 { 62.0 * smooth(40.0, 105.0, x) } else { 40.0 * smooth(42.0, 90.0, -x) };
    let bend = 2.2 * noise(x / 11.0, 3.7) * smooth(25.0, 33.0, x.abs());
    // Behind the headlands the open sea comes back, so that they end as capes.
    let cape = 60.0 * smooth(110.0, 150.0, x.abs());
    22.5 + headland + bend - cape - z
}

/// Benches on the lawn: where they stand, and the yaw that they face.
pub(super) const LAWN_BENCHES: [(f32, f32, f32); 4] =
    [(20.2, -25.6, -0.5), (-20.2, -25.6, 0.5), (30.4, -18.0, -1.2), (-22.4, -16.4, -0.6)];

/// How high the ground is: level around benches.
pub(super) fn height(x: f32, z: f32) -> f32 {
    let mut high = open_height(x, z);
    for (bench_x, bench_z, _) in LAWN_BENCHES {
        let far = v3(x - bench_x, 0.0, z - bench_z).length();
        if far < 4.2 {
            high = mix(open_height(bench_x, bench_z), high, smooth(2.2, 4.2, far));
        }
    }
    high
}

fn open_height(x: f32, z: f32) -> f32 {
    let away = smooth(20.0, 33.0, towards_middle(x, z));
    let terrace = TERRACE * smooth(-17.5, -24.6, z);
    let calm = smooth(-15.0, -20.0, z) * smooth(17.0, 10.0, x.abs()) * smooth(-43.5, -40.5, z);
    let swell = away * (0.55 * noise(x / 13.0 + 5.0, z / 13.0) + 0.35) * (1.0 - calm);
    // Ovals around the walkable land: the hills begin behind its edge and leave the sea open.
    let oval = ((x / 42.0).powi(4) + ((z + 6.0) / 40.0).powi(4)).powf(0.25);
    let back = mix(1.0, 0.5, smooth(-10.0, 40.0, z));
    let hill = smooth(1.03, 2.5, oval) * back * (19.0 + 11.0 * noise(x / 31.0, z / 31.0 + 9.0))
        + smooth(1.0, 1.4, oval) * 1.2 * rough(x / 9.0, z / 9.0);
    let land = terrace + swell + hill - 0.06 * (1.0 - away) - sunk(x, z);
    let coast = inland(x, z);
    let beach = if coast > 0.0 {
        SEA_LEVEL + 1.1 * smooth(0.0, 8.0, coast)
    } else {
        (SEA_LEVEL + coast * 0.22).max(-4.0)
    };
    let natural = mix(beach, land, smooth(2.0, 13.0, coast));
    // Below the quay the ground falls off unseen, so that its wall stands in the water.
    let quay = mix(land, -3.6, smooth(19.0, 22.4, z));
    mix(quay, natural, smooth(QUAY_HALF, QUAY_HALF + 2.4, x.abs()))
}

/// How much lower the ground is under the stairs and the terrace's paving, which hide it.
fn sunk(x: f32, z: f32) -> f32 {
    let stairs = smooth(4.7, 3.7, x.abs()) * smooth(-17.9, -18.9, z) * smooth(-25.4, -24.2, z);
    let terrace = smooth(TERRACE_HALF + 0.1, TERRACE_HALF - 1.0, x.abs())
        * smooth(-23.8, -24.9, z)
        * smooth(TERRACE_BACK - 0.1, TERRACE_BACK + 1.0, z);
    0.45 * stairs.max(0.35 * terrace)
}

fn along_line(line: &[(f32, f32)], x: f32, z: f32) -> f32 {
    let mut nearest = f32::INFINITY;
    for pair in line.windows(2) {
        let from = v3(pair[0].0, 0.0, pair[0].1);
        let way = v3(pair[1].0, 0.0, pair[1].1) - from;
        let here = v3(x, 0.0, z) - from;
        let share = (here.dot(way) / way.dot(way)).clamp(0.0, 1.0);
        nearest = nearest.min((here - way * share).length());
    }
    nearest
}

/// How much of a path a place is, from 0 to 1, with an uneven edge.
pub(super) fn path(x: f32, z: f32) -> f32 {
    let fray = 0.28 * noise(x * 0.9, z * 0.9);
    let of = |(line, half): &(&[(f32, f32)], f32)| {
        let far = along_line(line, x, z) + fray;
        smooth(half + 0.45, half - 0.3, far)
    };
    PATHS.iter().map(of).fold(0.0, f32::max)
}

fn colour(x: f32, z: f32, up: f32) -> Colour {
    let high = height(x, z);
    let patch = rough(x / 8.0, z / 8.0);
    let meadow = blend(hex(palette::GRASS), hex(palette::GRASS_GOLD), 0.35 + 0.75 * patch);
    let meadow = blend(meadow, hex(palette::GRASS_DEEP), smooth(0.05, 0.7, -patch) * 0.8);
    let forest = blend(hex(palette::GRASS_DEEP), hex(palette::GRASS_GOLD), 0.25 + 0.4 * patch);
    let grass = blend(meadow, forest, smooth(3.0, 8.0, high));
    let steep = blend(grass, hex(palette::ROCK), smooth(0.86, 0.72, up));
    let gravel = tone(hex(palette::GRAVEL), 0.94 + 0.1 * noise(x * 1.7, z * 1.7));
    let walked = blend(steep, gravel, path(x, z));
    let shore = smooth(0.35, -0.25, high + 0.25 * patch);
    let sand = blend(walked, hex(palette::BEACH), shore);
    let wet = blend(sand, tone(hex(palette::BEACH), 0.62), smooth(-0.72, -0.95, high));
    blend(wet, hex(palette::SEABED), smooth(-1.0, -2.4, high))
}

/// How high the drawn ground is, which is flat between the corners of its grid.
pub(super) fn surface(x: f32, z: f32) -> f32 {
    let (column, row) = ((x - FINE_LOW.0) / FINE, (z - FINE_LOW.1) / FINE);
    let (left, near) = (column.floor(), row.floor());
    let (along, up) = (column - left, row - near);
    let at = |right: f32, far: f32| {
        height(FINE_LOW.0 + (left + right) * FINE, FINE_LOW.1 + (near + far) * FINE)
    };
    let even = (left + near).rem_euclid(2.0) < 0.5;
    let (here, next) = (at(0.0, 0.0), at(1.0, 0.0));
    let (far, over) = (at(0.0, 1.0), at(1.0, 1.0));
    match (even, along > up, along + up < 1.0) {
        (true, true, _) => here + (next - here) * along + (over - next) * up,
        (true, false, _) => here + (over - far) * along + (far - here) * up,
        (false, _, true) => here + (next - here) * along + (far - here) * up,
        (false, _, false) => over + (far - over) * (1.0 - along) + (next - over) * (1.0 - up),
    }
}

fn normal(x: f32, z: f32) -> V3 {
    let reach = 0.6;
    let slope_x = height(x + reach, z) - height(x - reach, z);
    let slope_z = height(x, z + reach) - height(x, z - reach);
    v3(-slope_x, 2.0 * reach, -slope_z).unit()
}

/// A grid over part of the land, without the cells that are left out.
fn grid(
    low: (f32, f32),
    cells: (usize, usize),
    side: f32,
    at: impl Fn(f32, f32) -> f32,
    keep: impl Fn(f32, f32) -> bool,
) -> Mesh {
    let mut mesh = Mesh::default();
    let mut numbers = vec![None; (cells.0 + 1) * (cells.1 + 1)];
    let place = |column: usize, row: usize| (low.0 + side * real(column), low.1 + side * real(row));
    for row in 0..cells.1 {
        for column in 0..cells.0 {
            let (x, z) = place(column, row);
            if !keep(x + side / 2.0, z + side / 2.0) {
                continue;
            }
            let mut corner = |column: usize, row: usize| {
                let slot = &mut numbers[row * (cells.0 + 1) + column];
                *slot.get_or_insert_with(|| {
                    let (x, z) = place(column, row);
                    let normal = normal(x, z);
                    mesh.vertex(v3(x, at(x, z), z), normal, colour(x, z, normal.y))
                })
            };
            let (near, far) = (corner(column, row), corner(column, row + 1));
            let (next, over) = (corner(column + 1, row), corner(column + 1, row + 1));
            // Diagonals in turn, so that no slope looks combed.
            if (row + column) % 2 == 0 {
                mesh.corners.extend([near, far, over, near, over, next]);
            } else {
                mesh.corners.extend([near, far, next, next, far, over]);
            }
        }
    }
    mesh
}

/// The ground near by, which people walk on where nothing lies over it.
pub(super) fn near() -> Mesh {
    let (high_x, high_z) =
        (FINE_LOW.0 + FINE * real(FINE_CELLS.0), FINE_LOW.1 + FINE * real(FINE_CELLS.1));
    // On its outline the fine grid follows the coarse one, so that no gap opens between them.
    let between = |value: f32, low: f32| {
        let cells = (value - low) / COARSE;
        (low + cells.floor() * COARSE, cells - cells.floor())
    };
    let at = |x: f32, z: f32| {
        let on = |value: f32, low: f32, high: f32| value < low + 0.1 || value > high - 0.1;
        if on(x, FINE_LOW.0, high_x) {
            let (from, share) = between(z + 0.01, FINE_LOW.1);
            mix(height(x, from), height(x, from + COARSE), share)
        } else if on(z, FINE_LOW.1, high_z) {
            let (from, share) = between(x + 0.01, FINE_LOW.0);
            mix(height(from, z), height(from + COARSE, z), share)
        } else {
            height(x, z)
        }
    };
    let seen = |x: f32, z: f32| {
        let under_quay = x.abs() < QUAY_HALF - 1.5 && z > QUAY_BACK + 1.5;
        towards_middle(x, z) > PLAZA_RADIUS - 1.5 && !under_quay
    };
    grid(FINE_LOW, FINE_CELLS, FINE, at, seen)
}

/// The land around it, which nobody reaches.
pub(super) fn around() -> Mesh {
    let (high_x, high_z) =
        (FINE_LOW.0 + FINE * real(FINE_CELLS.0), FINE_LOW.1 + FINE * real(FINE_CELLS.1));
    let outside = |x: f32, z: f32| {
        let inner = x > FINE_LOW.0 && x < high_x && z > FINE_LOW.1 && z < high_z;
        !inner && inland(x, z) > -16.0
    };
    grid(COARSE_LOW, COARSE_CELLS, COARSE, height, outside)
}

/// The sea to the horizon, lighter over shallow ground.
pub(super) fn sea() -> Mesh {
    const RINGS: [f32; 10] = [0.0, 14.0, 28.0, 42.0, 58.0, 78.0, 110.0, 160.0, 300.0, 700.0];
    const SIDES: usize = 56;
    let mut mesh = Mesh::default();
    for radius in RINGS {
        for side in 0..SIDES {
            let (sine, cosine) = (std::f32::consts::TAU * part(side, SIDES)).sin_cos();
            let (x, z) = (sine * radius, 62.0 + cosine * radius);
            let shallow = smooth(-22.0, 3.0, inland(x, z)) * smooth(150.0, 60.0, radius);
            let far = blend(hex(palette::SEA), hex(palette::FARTHER), smooth(120.0, 700.0, radius));
            let colour = blend(far, hex(palette::SEA_SHALLOW), shallow * 0.8);
            mesh.vertex(v3(x, SEA_LEVEL, z), UP, colour);
        }
    }
    let number = |ring: usize, side: usize| {
        u32::try_from(ring * SIDES + side % SIDES).expect("the sea has few corners")
    };
    for ring in 1..RINGS.len() {
        for side in 0..SIDES {
            let (near, far) = (number(ring - 1, side), number(ring, side));
            let (next, over) = (number(ring - 1, side + 1), number(ring, side + 1));
            let dry = |corner: &u32| {
                let point = mesh.points[index(*corner)];
                inland(point.x, point.z) > 12.0
            };
            if [near, far, over, next].iter().all(dry) {
                continue;
            }
            mesh.corners.extend([near, far, over]);
            // The innermost ring is a point.
            if ring > 1 {
                mesh.corners.extend([near, over, next]);
            }
        }
    }
    mesh
}
