//! The far away: islands, mountains, a lighthouse and clouds, painted with the light of the evening.

use std::f32::consts::TAU;

use super::{
    arithmetic::{Chance, V3, mix, noise, part, real, rough, smooth, v3},
    mesh::{Ball, Colour, Mesh, blend, hex, tone},
    palette,
    site::Site,
};

/// Where the sun stands: the direction to it as a yaw and a height above the horizon.
pub(super) const SUN_YAW: f32 = 0.5;
pub(super) const SUN_HEIGHT: f32 = 0.3;

/// The direction to the sun.
pub(super) fn sun() -> V3 {
    let (high, flat) = SUN_HEIGHT.sin_cos();
    v3(SUN_YAW.sin() * flat, high, SUN_YAW.cos() * flat)
}

pub(super) fn build(site: &mut Site) {
    mountains(&mut site.far);
    islands(&mut site.far);
    lighthouse(site);
    clouds(&mut site.far);
}

/// How much of the sky's glow around the sun is in a direction, from 0 to 1.
fn glow(turn: f32) -> f32 {
    let away = (turn - SUN_YAW + TAU / 2.0).rem_euclid(TAU) - TAU / 2.0;
    smooth(1.7, 0.0, away.abs())
}

/// What is seen through so much of the evening's air.
fn hazy(colour: Colour, turn: f32, share: f32) -> Colour {
    let air = blend(hex(palette::FARTHER), hex(palette::HAZE), glow(turn));
    blend(colour, air, share)
}

/// Two chains of mountains around the whole horizon, lower where the sea is open.
fn mountains(mesh: &mut Mesh) {
    const SIDES: usize = 144;
    for (far, high, seed, air) in [(600.0, 70.0, 3.0, 0.74), (430.0, 44.0, 11.0, 0.5)] {
        let crest = |side: usize| {
            let turn = TAU * part(side % SIDES, SIDES);
            let (sine, cosine) = turn.sin_cos();
            let open = smooth(0.95, 0.45, (turn - 0.2).abs().min((turn - 0.2 - TAU).abs()));
            let swell = 0.62 + 0.75 * rough(sine * 4.2 + seed, cosine * 4.2 + seed);
            let height = high * swell.max(0.06) * mix(1.0, 0.22, open);
            (turn, v3(sine * far, 0.0, cosine * far), height)
        };
        for side in 0..SIDES {
            let corner = |side: usize, share: f32| {
                let (turn, foot, height) = crest(side);
                let lean = 1.0 + 0.16 * share;
                let point = v3(foot.x * lean, height * share - 4.0, foot.z * lean);
                let base = blend(hex(palette::FAR), tone(hex(palette::FAR), 0.7), share);
                let lit = 0.3 * (1.0 - glow(turn)) * smooth(0.3, 1.0, share);
                let colour =
                    hazy(blend(base, hex(palette::ROSE), lit), turn, air * mix(1.0, 0.72, share));
                (point, colour)
            };
            let next = side + 1;
            for (low, over) in [(0.0, 0.55), (0.55, 1.0)] {
                mesh.face(&[
                    corner(next, low),
                    corner(side, low),
                    corner(side, over),
                    corner(next, over),
                ]);
            }
        }
    }
}

/// An island as a cone of bumps, darker towards the sea.
fn island(mesh: &mut Mesh, at: V3, wide: f32, high: f32, air: f32) {
    const SIDES: usize = 22;
    let turn = at.x.atan2(at.z);
    let profile = [(1.0, 0.0), (0.9, 0.1), (0.72, 0.36), (0.5, 0.68), (0.26, 0.92), (0.0, 1.0)];
    let first = mesh.points.len();
    for (ring, (out, up)) in profile.into_iter().enumerate() {
        for side in 0..SIDES {
            let (sine, cosine) = (TAU * part(side, SIDES)).sin_cos();
            let bump = 1.0 + 0.5 * noise(sine * 2.3 + at.x, cosine * 2.3 + at.z + up * 3.0);
            let point = at
                + v3(
                    sine * wide * out * bump,
                    up * high * mix(1.0, bump, 0.6) - 1.2,
                    cosine * wide * 0.6 * out * bump,
                );
            let cliff = blend(hex(0x0059_4a5c), hex(0x0044_5a55), real(ring) / 3.0);
            let to_sun = v3(sine, 0.5, cosine).unit().dot(sun()).max(0.0);
            let lit = blend(cliff, hex(palette::ROSE), 0.55 * to_sun);
            mesh.vertex(
                point,
                v3(sine, 0.6, cosine).unit(),
                hazy(lit, turn, air * mix(1.1, 0.9, up)),
            );
        }
    }
    let number = |ring: usize, side: usize| {
        u32::try_from(first + ring * SIDES + side % SIDES).expect("few corners")
    };
    for ring in 1..profile.len() {
        for side in 0..SIDES {
            let (low, next) = (number(ring - 1, side), number(ring - 1, side + 1));
            mesh.corners.extend([low, next, number(ring, side + 1)]);
            mesh.corners.extend([low, number(ring, side + 1), number(ring, side)]);
        }
    }
}

fn islands(mesh: &mut Mesh) {
    for (x, z, wide, high, air) in [
        (-46.0, 188.0, 26.0, 13.0, 0.36),
        (-86.0, 210.0, 20.0, 8.0, 0.42),
        (64.0, 240.0, 40.0, 19.0, 0.46),
        (118.0, 262.0, 30.0, 11.0, 0.5),
        (6.0, 330.0, 46.0, 15.0, 0.62),
        (-150.0, 300.0, 60.0, 26.0, 0.58),
        (190.0, 300.0, 60.0, 30.0, 0.6),
    ] {
        island(mesh, v3(x, 0.0, z), wide, high, air);
    }
}

fn lighthouse(site: &mut Site) {
    let foot = v3(-40.0, 10.5, 186.0);
    let turn = foot.x.atan2(foot.z);
    let (white, red) =
        (hazy(hex(palette::LINEN), turn, 0.22), hazy(hex(palette::CORAL), turn, 0.3));
    let dark = hazy(hex(palette::IRON), turn, 0.4);
    let mut low = 0.0;
    for band in 0..4 {
        let colour = if band % 2 == 0 { white } else { red };
        let radius = |height: f32| 2.2 - 0.07 * height;
        let top = low + 4.0;
        site.far.lathe(
            foot,
            10,
            &[(radius(low), low, tone(colour, 0.8)), (radius(top), top, colour)],
        );
        low = top;
    }
    site.far.lathe(foot, 10, &[(1.7, 16.0, dark), (1.7, 16.5, dark), (0.0, 16.5, dark)]);
    site.lanterns.lathe(foot, 8, &[(0.95, 16.5, [1.0; 3]), (0.95, 18.3, [1.0; 3])]);
    site.far.lathe(foot, 10, &[(1.5, 18.3, red), (0.0, 20.0, red)]);
}

/// Clouds are flat below.
fn bump(out: V3, seed: f32) -> f32 {
    let swell = 0.92 + 0.14 * noise(out.x * 3.0 + seed, out.z * 3.0);
    if out.y < 0.0 { swell / (1.0 - out.y * 1.6) } else { swell }
}

/// Long clouds over the horizon, lit from below and towards the sun.
fn clouds(mesh: &mut Mesh) {
    let ball = Ball::new(1);
    let mut chance = Chance::new(91);
    for bank in 0..13 {
        let turn = TAU * (real(bank) + chance.between(-0.3, 0.3)) / 13.0;
        let far = chance.between(470.0, 600.0);
        let high = chance.between(85.0, 215.0);
        let (sine, cosine) = turn.sin_cos();
        let middle = v3(sine * far, high, cosine * far);
        let along = v3(cosine, 0.0, -sine);
        let warm = glow(turn);
        let below = blend(hex(0x00e7_a08f), hex(0x00ff_c58a), warm);
        let above = blend(hex(0x0087_7fae), hex(0x00c8_93a4), warm);
        let puffs = 6 + usize::from(chance.unit() < 0.5) * 2;
        for puff in 0..puffs {
            let share = real(puff) / real(puffs - 1) - 0.5;
            let size = chance.between(13.0, 27.0) * (1.0 - share.abs() * 1.2);
            let lift = chance.between(-2.0, 7.0) * (0.6 - share.abs());
            let at = middle + along * (share * 150.0) + v3(0.0, lift, 0.0);
            let stretch = chance.between(1.3, 1.9);
            let radii = v3(
                size * mix(0.8, stretch, cosine.abs()),
                size * 0.5,
                size * mix(0.8, stretch, sine.abs()),
            );
            let shade = |out: V3| {
                let toward = out.dot(sun()).max(0.0);
                blend(
                    blend(below, above, 0.5 + 0.62 * out.y),
                    hex(0x00ff_e2b0),
                    0.45 * toward * warm,
                )
            };
            mesh.ball(&ball, at, radii, &shade, &|out| bump(out, real(bank)));
        }
    }
}
