//! The houses in the west, the stalls of the market in the east, and the boats on the water.

use std::f32::consts::FRAC_PI_2;

use super::{
    arithmetic::{Chance, Frame, UP, V3, part, real, v3},
    fittings::pool,
    land::{self, SEA_LEVEL},
    mesh::{Ball, Colour, Mesh, Ring, blend, hex, tone},
    palette,
    site::Site,
};

/// A house that faces +Z.
struct House {
    size: V3,
    wall: u32,
    roof: u32,
    shutters: u32,
    storeys: usize,
    awning: bool,
}

/// The houses: where each stands, the yaw that it faces, its size, and its colours.
const HOUSES: [((f32, f32, f32), House); 9] = [
    (
        (33.0, -10.6, -1.35),
        House::new(v3(6.4, 5.6, 5.4), [palette::PEACH, palette::ROOF, palette::TEAL], 2, true),
    ),
    (
        (32.6, -2.2, -1.6),
        House::new(
            v3(5.2, 3.6, 5.0),
            [palette::CREAM, palette::ROOF_LIGHT, palette::CORAL],
            1,
            true,
        ),
    ),
    (
        (31.6, 6.4, -1.85),
        House::new(v3(6.0, 6.2, 5.2), [palette::OCHRE, palette::ROOF, palette::MIST], 2, false),
    ),
    (
        (49.0, -24.0, -1.1),
        House::new(v3(7.0, 5.4, 6.0), [palette::ROSE, palette::ROOF, palette::CREAM], 2, false),
    ),
    (
        (55.0, 5.0, -1.9),
        House::new(
            v3(6.5, 5.8, 6.0),
            [palette::CREAM, palette::ROOF_LIGHT, palette::TEAL],
            2,
            false,
        ),
    ),
    (
        (-50.0, 12.0, 2.2),
        House::new(v3(6.0, 5.6, 6.0), [palette::MIST, palette::ROOF, palette::CORAL], 2, false),
    ),
    (
        (-53.0, -20.0, 1.2),
        House::new(
            v3(7.0, 5.6, 6.0),
            [palette::PEACH, palette::ROOF_LIGHT, palette::TEAL],
            2,
            false,
        ),
    ),
    (
        (-26.0, -55.0, 0.4),
        House::new(v3(6.0, 5.6, 6.0), [palette::CREAM, palette::ROOF, palette::TEAL], 2, false),
    ),
    (
        (22.0, -57.0, -0.4),
        House::new(
            v3(7.0, 5.8, 6.0),
            [palette::OCHRE, palette::ROOF_LIGHT, palette::CORAL],
            2,
            false,
        ),
    ),
];

impl House {
    const fn new(size: V3, colours: [u32; 3], storeys: usize, awning: bool) -> Self {
        let [wall, roof, shutters] = colours;
        Self { size, wall, roof, shutters, storeys, awning }
    }
}

pub(super) fn build(site: &mut Site) {
    let mut chance = Chance::new(61);
    for ((x, z, yaw), house) in &HOUSES {
        let (x, z, yaw) = (*x, *z, *yaw);
        let frame = Frame::new(v3(x, land::height(x, z), z), yaw);
        build_house(site, frame, house, &mut chance);
    }
    let cloths = [palette::CORAL, palette::TEAL, palette::OCHRE, palette::ROSE];
    for (at, cloth) in cloths.into_iter().enumerate() {
        let z = -13.2 + 5.1 * real(at);
        let x = -29.4 - 0.5 * real(at % 2);
        let frame = Frame::new(v3(x, land::height(x, z), z), FRAC_PI_2 + 0.12 * (real(at) - 1.5));
        stall(site, frame, hex(cloth), &mut chance);
    }
    boat(site, Frame::new(v3(6.2, SEA_LEVEL, 33.0), 0.15), None);
    boat(site, Frame::sized(v3(24.0, SEA_LEVEL, 66.0), 2.1, 1.7), Some(palette::LINEN));
    boat(site, Frame::sized(v3(-14.0, SEA_LEVEL, 92.0), -1.0, 2.0), Some(palette::CORAL));
    boat(site, Frame::sized(v3(-31.0, SEA_LEVEL, 47.0), 1.2, 1.3), Some(palette::LINEN));
}

fn build_house(site: &mut Site, frame: Frame, house: &House, chance: &mut Chance) {
    let House { size, wall, .. } = *house;
    let wall = hex(wall);
    let mut mesh = Mesh::default();
    let deep = 2.2;
    mesh.block(
        UP * -deep,
        v3(size.x + 0.3, deep + 0.45, size.z + 0.3),
        tone(hex(palette::STONE_DARK), 0.7),
        hex(palette::STONE),
    );
    // Walls in two heights, so that they darken towards the ground.
    let low = v3(size.x, size.y * 0.45, size.z);
    mesh.block(UP * 0.45, low, tone(wall, 0.78), tone(wall, 0.96));
    let high = v3(size.x, size.y * 0.55 - 0.45, size.z);
    mesh.block(UP * (0.45 + low.y), high, tone(wall, 0.96), wall);
    gable(&mut mesh, house, wall);
    if house.storeys > 1 {
        let band = v3(size.x + 0.14, 0.14, size.z + 0.14);
        mesh.block(UP * (size.y * 0.52), band, hex(palette::LINEN), hex(palette::LINEN));
    }
    site.matter.place(&mesh, frame);
    openings(site, frame, house, chance);
    let body = v3(size.x + 0.3, size.y + deep + 1.0, size.z + 0.3);
    site.solid(frame, UP * -deep, body);
}

/// A roof of two slopes with rows of tiles, and the walls below its ends.
fn gable(mesh: &mut Mesh, house: &House, wall: Colour) {
    let (half, deep, eaves) = (house.size.x / 2.0, house.size.z / 2.0, house.size.y);
    let rise = half * 0.72;
    let ridge = eaves + rise;
    for side in [-1.0, 1.0] {
        let z = deep * side;
        let corners = [v3(-half * side, eaves, z), v3(half * side, eaves, z), v3(0.0, ridge, z)];
        mesh.panel(&corners, wall);
    }
    let roof = hex(house.roof);
    let over = 0.45;
    let rows = 6;
    for side in [-1.0, 1.0] {
        for row in 0..rows {
            let at = |share: f32, lift: f32| {
                let out = (half + over) * (1.0 - share);
                v3(side * out, ridge - rise * out / half + lift, 0.0)
            };
            let (low, high) = (at(part(row, rows), 0.14), at(part(row + 1, rows), 0.07));
            let end = deep + over;
            let along = |point: V3, z: f32| point + v3(0.0, 0.0, z * side);
            let shade = tone(roof, 0.86 + 0.1 * real(row % 2) + 0.03 * real(row));
            mesh.panel(
                &[along(low, end), along(low, -end), along(high, -end), along(high, end)],
                shade,
            );
            let under = low - UP * 0.12;
            mesh.panel(
                &[along(under, end), along(under, -end), along(low, -end), along(low, end)],
                tone(roof, 0.6),
            );
        }
        // The slope from below, and its boards at both ends.
        let edge = v3(side * (half + over), ridge - rise * (half + over) / half, 0.0);
        let top = v3(0.0, ridge, 0.0);
        let end = deep + over;
        let along = |point: V3, z: f32| point + v3(0.0, 0.0, z * side);
        mesh.panel(
            &[along(edge, -end), along(edge, end), along(top, end), along(top, -end)],
            hex(palette::WOOD_DARK),
        );
        for z in [-end, end] {
            let lift = UP * 0.05;
            mesh.beam(
                edge + lift + v3(0.0, 0.0, z),
                top + lift + v3(0.0, 0.0, z),
                0.16,
                hex(palette::WOOD),
            );
        }
    }
    mesh.beam(
        v3(0.0, ridge + 0.1, -deep - over),
        v3(0.0, ridge + 0.1, deep + over),
        0.2,
        tone(roof, 0.75),
    );
    let chimney = v3(half * 0.5, ridge - rise * 0.62, -deep * 0.4);
    mesh.block(chimney, v3(0.6, 1.5, 0.6), tone(wall, 0.8), wall);
    mesh.block(chimney + UP * 1.5, v3(0.76, 0.14, 0.76), hex(palette::ROOF), hex(palette::ROOF));
}

/// Door, windows with their shutters and flowers, and an awning.
fn openings(site: &mut Site, frame: Frame, house: &House, chance: &mut Chance) {
    let size = house.size;
    let front = frame.within(v3(0.0, 0.0, size.z / 2.0), 0.0);
    let mut wood = Mesh::default();
    let (dark, leaf) = (hex(palette::WOOD_DARK), hex(house.shutters));
    wood.block(v3(0.0, 0.3, 0.06), v3(1.3, 2.3, 0.16), tone(dark, 0.8), dark);
    wood.block(v3(0.0, 0.42, 0.12), v3(0.98, 2.02, 0.12), tone(leaf, 0.7), leaf);
    wood.block(
        v3(0.0, -0.4, 0.5),
        v3(1.9, 0.62, 0.9),
        hex(palette::STONE_DARK),
        hex(palette::STONE),
    );
    wood.block(
        v3(0.0, -0.4, 0.95),
        v3(2.3, 0.42, 0.8),
        hex(palette::STONE_DARK),
        hex(palette::STONE),
    );
    site.matter.place(&wood, front);
    let columns: &[f32] = &[-0.32, 0.32];
    for column in columns {
        window(site, front.within(v3(column * size.x, 1.25, 0.0), 0.0), house, chance);
    }
    if house.storeys > 1 {
        for column in [-0.32, 0.0, 0.32] {
            let at = v3(column * size.x, size.y * 0.5 + 0.75, 0.0);
            window(site, front.within(at, 0.0), house, chance);
            let mut flowers = Mesh::default();
            flower_box(&mut flowers, at + v3(0.0, -0.28, 0.2), 0.9, chance);
            site.matter.place(&flowers, front);
        }
    }
    for side in [-1.0, 1.0] {
        for storey in 0..house.storeys {
            for along in [-0.24, 0.24] {
                let height = if storey == 0 { 1.25 } else { size.y * 0.5 + 0.75 };
                let at = v3(side * size.x / 2.0, height, along * size.z);
                window(site, frame.within(at, side * FRAC_PI_2), house, chance);
            }
        }
    }
    if house.awning {
        let mut cloth = Mesh::default();
        awning(&mut cloth, v3(0.0, 2.75, 0.05), size.x * 0.94, 1.5, leaf);
        site.matter.place(&cloth, front);
    }
    let mut lamp = Mesh::default();
    lamp.block(v3(0.9, 2.15, 0.22), v3(0.16, 0.26, 0.16), [1.0; 3], [1.0; 3]);
    site.lanterns.place(&lamp, front);
    pool(site, front.point(v3(0.0, 0.03, 1.6)), 2.6, 0.4);
}

/// A lit window that faces +Z, from the middle of its sill.
fn window(site: &mut Site, frame: Frame, house: &House, chance: &mut Chance) {
    let (wide, tall) = (0.86, 1.15);
    let mut frames = Mesh::default();
    let (linen, leaf) = (hex(palette::LINEN), hex(house.shutters));
    let at = |x: f32, y: f32, z: f32| v3(x, y, z);
    frames.pane(at(0.0, -0.07, 0.015), wide + 0.2, tall + 0.16, linen, linen);
    frames.pane(at(0.0, 0.0, 0.045), 0.05, tall, linen, linen);
    frames.pane(at(0.0, tall * 0.56, 0.045), wide, 0.05, linen, linen);
    frames.block(at(0.0, -0.1, 0.06), v3(wide + 0.3, 0.08, 0.22), tone(linen, 0.8), linen);
    for side in [-1.0, 1.0] {
        let size = v3(wide * 0.46, tall + 0.08, 0.07);
        frames.block(at(side * (wide * 0.75 + 0.1), -0.03, 0.05), size, tone(leaf, 0.72), leaf);
    }
    let glass = at(0.0, 0.0, 0.03);
    // A few windows are dark: somebody is out on the plaza.
    if chance.unit() < 0.82 {
        let mut lit = Mesh::default();
        lit.pane(glass, wide, tall, [1.0; 3], [1.0; 3]);
        site.windows.place(&lit, frame);
    } else {
        frames.pane(glass, wide, tall, hex(0x0035_3c52), hex(0x0096_7a80));
    }
    site.matter.place(&frames, frame);
}

/// A box of flowers below a window.
fn flower_box(mesh: &mut Mesh, at: V3, wide: f32, chance: &mut Chance) {
    let (wood, bloom) = (hex(palette::WOOD), hex(palette::CORAL));
    mesh.block(at, v3(wide, 0.2, 0.22), tone(wood, 0.7), wood);
    for plant in 0..6 {
        let x = -wide / 2.0 + wide * (real(plant) + 0.5) / 6.0;
        let petal = blend(bloom, hex(palette::BLOSSOM[1]), chance.unit());
        let colour = if plant % 2 == 0 { hex(palette::BUSH[1]) } else { petal };
        let size = v3(0.17, chance.between(0.1, 0.2), 0.22);
        mesh.tapered(at + v3(x, 0.16, 0.0), size, 0.5, tone(colour, 0.6), colour);
    }
}

/// Striped cloth that falls forward from a line, with a scalloped hem.
fn awning(mesh: &mut Mesh, at: V3, width: f32, reach: f32, colour: Colour) {
    let stripes = 9;
    let linen = hex(palette::LINEN);
    for stripe in 0..stripes {
        let (left, right) = (
            -width / 2.0 + width * part(stripe, stripes),
            -width / 2.0 + width * part(stripe + 1, stripes),
        );
        let cloth = if stripe % 2 == 0 { colour } else { linen };
        let fall = v3(0.0, -0.55, reach);
        let hem = fall - UP * 0.22;
        let corner = |x: f32, out: V3| at + v3(x, 0.0, 0.0) + out;
        let none = V3::default();
        let slope =
            [corner(left, fall), corner(right, fall), corner(right, none), corner(left, none)];
        mesh.panel(&slope, cloth);
        let middle = f32::midpoint(left, right);
        let skirt = [corner(left, fall), corner(middle, hem), corner(right, fall)];
        mesh.panel(&skirt, tone(cloth, 0.92));
        let under = [slope[3], slope[2], slope[1], slope[0]];
        mesh.panel(&under, tone(cloth, 0.6));
        mesh.panel(&[skirt[2], skirt[1], skirt[0]], tone(cloth, 0.7));
    }
}

/// A stall of the market that faces +Z, with fruit in its boxes.
fn stall(site: &mut Site, frame: Frame, cloth: Colour, chance: &mut Chance) {
    let mut mesh = Mesh::default();
    let (wood, dark) = (hex(palette::WOOD), hex(palette::WOOD_DARK));
    for x in [-1.75, 1.75] {
        for (z, tall) in [(-1.0, 2.9), (1.0, 2.35)] {
            mesh.block(v3(x, -0.4, z), v3(0.12, tall + 0.4, 0.12), tone(dark, 0.8), dark);
        }
    }
    awning(&mut mesh, v3(0.0, 2.95, -1.1), 4.0, 2.5, cloth);
    mesh.block(v3(0.0, -0.4, 0.55), v3(3.5, 1.25, 0.85), tone(wood, 0.6), wood);
    mesh.block(v3(0.0, 0.85, 0.55), v3(3.7, 0.07, 1.0), wood, tone(wood, 1.25));
    mesh.block(v3(0.0, -0.4, -0.95), v3(3.5, 2.1, 0.08), tone(dark, 0.7), dark);
    let ball = Ball::new(0);
    for tray in 0..4 {
        let x = -1.35 + 0.9 * real(tray);
        let colour = hex([0x00e8_8a3a, 0x00d2_493f, 0x00f0_c653, 0x008f_b24a][(tray + 1) % 4]);
        mesh.block(v3(x, 0.92, 0.6), v3(0.78, 0.12, 0.72), tone(wood, 1.1), tone(wood, 1.3));
        for fruit in 0..9 {
            let place = v3(x - 0.24 + 0.24 * real(fruit % 3), 1.07, 0.38 + 0.22 * real(fruit / 3));
            let shade = tone(colour, chance.between(0.75, 1.15));
            let radius = V3 { x: 0.11, y: 0.1, z: 0.11 };
            mesh.ball(&ball, place, radius, &|out| tone(shade, 0.85 + 0.2 * out.y), &|_| 1.0);
        }
    }
    for (x, z, tall) in [(2.3, 0.3, 0.55), (-2.35, 0.1, 0.7)] {
        let cask: [Ring; 5] = [
            (0.28, -0.3, dark),
            (0.36, tall * 0.5, wood),
            (0.28, tall, wood),
            (0.25, tall, dark),
            (0.0, tall, dark),
        ];
        mesh.lathe(v3(x, 0.0, z), 9, &cask);
        site.post(frame.point(v3(x, -0.3, z)), 0.36, tall + 0.3);
    }
    site.matter.place(&mesh, frame);
    let mut light = Mesh::default();
    for x in [-1.1, 0.0, 1.1] {
        light.lathe(
            v3(x, 2.02, 0.3),
            6,
            &[(0.0, -0.14, [1.0; 3]), (0.11, 0.0, [1.0; 3]), (0.0, 0.14, [1.0; 3])],
        );
    }
    site.lanterns.place(&light, frame);
    site.solid(frame, v3(0.0, -0.6, 0.55), v3(3.7, 1.52, 1.0));
    site.solid(frame, v3(0.0, -0.6, -0.98), v3(3.7, 3.4, 0.3));
    pool(site, frame.point(v3(0.0, 0.02, 1.5)), 2.6, 0.36);
}

/// A boat with its bow to +Z, with or without a sail.
fn boat(site: &mut Site, frame: Frame, sail: Option<u32>) {
    let mut mesh = Mesh::default();
    let (hull, rim, inside) = (hex(palette::LINEN), hex(palette::WOOD), hex(palette::WOOD_LIGHT));
    let stations = [
        (-1.9, 0.5, 0.42),
        (-1.0, 0.75, 0.36),
        (0.2, 0.8, 0.36),
        (1.3, 0.5, 0.46),
        (2.2, 0.02, 0.66),
    ];
    for pair in stations.windows(2) {
        for side in [-1.0, 1.0] {
            let at = |(z, wide, high): (f32, f32, f32), share: f32| {
                v3(side * wide * share, if share > 0.8 { high } else { -0.3 }, z)
            };
            let [low, next, over, high] =
                [at(pair[0], 0.6), at(pair[1], 0.6), at(pair[1], 1.0), at(pair[0], 1.0)];
            let floor = |point: V3| v3(point.x * 0.85, 0.12, point.z);
            let (near, far) = (floor(high), floor(over));
            let mut shell = [low, next, over, high];
            let mut wall = [near, high, over, far];
            let mut bottom = [v3(0.0, 0.12, near.z), near, far, v3(0.0, 0.12, far.z)];
            if side > 0.0 {
                shell.reverse();
                wall.reverse();
                bottom.reverse();
            }
            let low = tone(hex(palette::TEAL), 0.8);
            let colours = if side > 0.0 { [hull, hull, low, low] } else { [low, low, hull, hull] };
            let coloured: Vec<_> = shell.into_iter().zip(colours).collect();
            mesh.face(&coloured);
            mesh.panel(&wall, inside);
            mesh.panel(&bottom, tone(inside, 0.8));
            mesh.beam(at(pair[0], 1.0), at(pair[1], 1.0), 0.07, rim);
        }
    }
    let stern =
        [v3(-0.5, 0.42, -1.9), v3(0.5, 0.42, -1.9), v3(0.3, -0.3, -1.9), v3(-0.3, -0.3, -1.9)];
    mesh.panel(&stern, hull);
    for z in [-1.0, 0.3] {
        mesh.block(v3(0.0, 0.24, z), v3(1.35, 0.05, 0.26), inside, inside);
    }
    if let Some(code) = sail {
        let cloth = hex(code);
        mesh.beam(v3(0.0, 0.1, 0.5), v3(0.0, 4.6, 0.5), 0.08, hex(palette::WOOD_DARK));
        mesh.beam(v3(0.0, 0.75, 0.5), v3(0.25, 0.75, -1.8), 0.06, hex(palette::WOOD_DARK));
        let main = [v3(0.0, 4.5, 0.44), v3(0.0, 0.85, 0.44), v3(0.25, 0.85, -1.75)];
        let fore = [v3(0.0, 4.1, 0.56), v3(-0.2, 0.75, 0.75), v3(0.0, 0.75, 2.1)];
        for [top, one, two] in [main, fore] {
            mesh.face(&[(top, cloth), (one, tone(cloth, 0.9)), (two, tone(cloth, 0.85))]);
            mesh.face(&[(top, cloth), (two, tone(cloth, 0.85)), (one, tone(cloth, 0.9))]);
        }
    }
    site.matter.place(&mesh, frame);
}
