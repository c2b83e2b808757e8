//! The one picture that a body is coloured with: face, iris, cloth and plain strips, lit and shaded.

use super::colour::{Lch, Rgb, lch};
use super::dice::Dice;
use super::looks::{Looks, Pattern};
use crate::vector::{mix, real, smooth};

/// Points of the picture.
const WIDTH: usize = 512;
const HEIGHT: usize = 256;

/// A rectangle of the picture: left, top, width, height.
#[derive(Clone, Copy)]
pub(super) struct Panel(usize, usize, usize, usize);

pub(super) const FACE: Panel = Panel(0, 0, 160, 160);
pub(super) const IRIS: Panel = Panel(160, 0, 96, 96);
pub(super) const WHITE: Panel = Panel(160, 96, 64, 64);
pub(super) const TOP: Panel = Panel(256, 0, 256, 160);
pub(super) const BOTTOM: Panel = Panel(224, 96, 32, 64);

/// Metres of the reference that the panel of the face is wide and high.
pub(super) const FACE_METRES: f32 = 0.32;

/// The strips, from the left: one colour each, which may change along it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strip {
    Skin,
    Hair,
    Shoe,
    Sock,
    Accent,
    Second,
    Lash,
    Brow,
    Mouth,
    Teeth,
    Tongue,
    Lip,
    Under,
    Frame,
    Trim,
    Sole,
}

const STRIPS: [Strip; 16] = [
    Strip::Skin,
    Strip::Hair,
    Strip::Shoe,
    Strip::Sock,
    Strip::Accent,
    Strip::Second,
    Strip::Lash,
    Strip::Brow,
    Strip::Mouth,
    Strip::Teeth,
    Strip::Tongue,
    Strip::Lip,
    Strip::Under,
    Strip::Frame,
    Strip::Trim,
    Strip::Sole,
];

/// Where in the texture a share of a panel is, from its left and its bottom.
pub(super) fn place(panel: Panel, right: f32, up: f32) -> [f32; 2] {
    let Panel(left, top, width, height) = panel;
    // Half a point is kept from the edges, where the neighbour would bleed in.
    let inner = |share: f32, size: usize| 1.5 + share.clamp(0.0, 1.0) * (real(size) - 3.0);
    let (x, y) = (real(left) + inner(right, width), real(top) + inner(1.0 - up, height));
    [x / real(WIDTH), y / real(HEIGHT)]
}

/// Where in the texture a strip has its colour of that height.
pub(super) fn strip(of: Strip, up: f32) -> [f32; 2] {
    place(strip_panel(of as usize), 0.5, up)
}

const fn strip_panel(number: usize) -> Panel {
    Panel(number * 32, 160, 32, 96)
}

/// A colour as it is in the light and in the shade, in steps of sRGB.
#[derive(Clone, Copy)]
struct Tint {
    lit: [f32; 3],
    shade: [f32; 3],
}

impl Tint {
    fn cloth(colour: Lch) -> Tint {
        Tint { lit: colour.rgb().map(f32::from), shade: colour.shaded().rgb().map(f32::from) }
    }

    fn skin(colour: Lch) -> Tint {
        let shade = colour.shaded_skin();
        Tint { lit: colour.rgb().map(f32::from), shade: shade.rgb().map(f32::from) }
    }

    fn mixed(self, other: Tint, share: f32) -> Tint {
        let blend = |a: [f32; 3], b: [f32; 3]| [0, 1, 2].map(|at| mix(a[at], b[at], share));
        Tint { lit: blend(self.lit, other.lit), shade: blend(self.shade, other.shade) }
    }
}

/// Two pictures of the same layout, as PNG.
pub(super) struct Pictures {
    pub(super) lit: Vec<u8>,
    pub(super) shade: Vec<u8>,
}

struct Canvas {
    lit: Vec<u8>,
    shade: Vec<u8>,
}

/// Paints a person.
pub(super) fn paint(looks: &Looks) -> Pictures {
    let mut canvas =
        Canvas { lit: vec![128; WIDTH * HEIGHT * 3], shade: vec![128; WIDTH * HEIGHT * 3] };
    face(&mut canvas, looks);
    eye(&mut canvas, looks);
    let (first, second) = (Tint::cloth(looks.palette.top), Tint::cloth(looks.palette.second));
    canvas.fill(TOP, |right, up| first.mixed(second, pattern(looks.pattern, right, up)));
    let bottom = Tint::cloth(looks.palette.bottom);
    let seam = Tint::cloth(looks.palette.bottom.scaled(0.86, 1.0));
    canvas.fill(BOTTOM, |_, up| bottom.mixed(seam, smooth(0.04, 0.02, up)));
    for (number, of) in STRIPS.into_iter().enumerate() {
        let [low, high] = strip_colours(of, looks);
        let share = strip_share(of);
        canvas.fill(strip_panel(number), |_, up| low.mixed(high, share(up)));
    }
    Pictures { lit: encode(&canvas.lit), shade: encode(&canvas.shade) }
}

/// How the colour of a strip goes from its lower to its upper one.
fn strip_share(of: Strip) -> fn(f32) -> f32 {
    match of {
        Strip::Shoe => |up| smooth(0.24, 0.26, up),
        Strip::Sock => |up| smooth(0.49, 0.51, up),
        // A ring of light lies around the crown, and the tips are bright.
        Strip::Hair => |up| smooth(0.0, 0.6, up) - 0.55 * smooth(0.07, 0.02, (up - 0.8).abs()),
        _ => |up| up,
    }
}

fn strip_colours(of: Strip, looks: &Looks) -> [Tint; 2] {
    let palette = &looks.palette;
    let even = |colour: Lch| [Tint::cloth(colour); 2];
    let hair = palette.hair;
    let rosy = palette.skin.mixed(lch(palette.skin.light * 0.86, 0.13, 25.0), 0.5);
    match of {
        Strip::Skin => [Tint::skin(palette.skin), Tint::skin(rosy)],
        // Tips are lighter than roots.
        Strip::Hair => {
            [Tint::cloth(hair.scaled(1.1, 1.08).turned(6.0)), Tint::cloth(hair.scaled(0.93, 1.0))]
        }
        // Sole below, shoe above; sock below, skin above.
        Strip::Shoe => [Tint::cloth(palette.sole), Tint::cloth(palette.shoes)],
        Strip::Sock => [Tint::cloth(palette.second), Tint::skin(palette.skin)],
        Strip::Accent => even(palette.accent),
        Strip::Lash => even(hair.mixed(lch(0.2, 0.03, 30.0), 0.85).scaled(0.9, 1.0)),
        Strip::Brow => {
            even(if hair.light > 0.6 { hair.scaled(0.72, 1.1) } else { hair.scaled(0.86, 1.0) })
        }
        Strip::Mouth => even(lch(0.30, 0.09, 18.0)),
        Strip::Teeth => even(lch(0.97, 0.008, 90.0)),
        Strip::Tongue => even(lch(0.66, 0.14, 18.0)),
        Strip::Lip => even(palette.skin.mixed(lch(0.36, 0.12, 20.0), 0.72)),
        Strip::Second | Strip::Under => even(palette.second),
        Strip::Frame => even(lch(0.28, 0.03, palette.accent.hue)),
        Strip::Trim => even(palette.top.scaled(0.84, 1.05)),
        Strip::Sole => even(palette.sole),
    }
}

/// How much of the second colour a pattern has there; the panel is 1.2 m wide and 0.9 m high.
fn pattern(pattern: Pattern, right: f32, up: f32) -> f32 {
    let across = (right - 0.5) * 1.2;
    let high = up * 0.9 - 0.15;
    let edge = |distance: f32| smooth(-0.0025, 0.0025, distance);
    match pattern {
        Pattern::Plain => 0.0,
        Pattern::Stripes => edge(((high / 0.062).fract() - 0.5).abs() * 0.062 - 0.018),
        Pattern::Band => edge(0.038 - (high - 0.47).abs()) + edge(0.006 - (high - 0.41).abs()),
        Pattern::Dots => {
            let row = (high / 0.05).floor();
            let x = ((across / 0.06 + (row % 2.0) * 0.5).rem_euclid(1.0) - 0.5) * 0.06;
            let y = ((high / 0.05).fract() - 0.5) * 0.05;
            edge(0.0115 - x.hypot(y))
        }
        // The sleeves, from a line between neck and armpit.
        Pattern::Raglan => edge(across.abs() - 0.075 - (0.62 - high) * 0.5),
        Pattern::Fade => smooth(0.42, 0.12, high),
        Pattern::Checks => {
            let line = |at: f32, size: f32| ((at / size).rem_euclid(1.0) < 0.5).then_some(0.5);
            (line(across, 0.055).unwrap_or(0.0) + line(high, 0.055).unwrap_or(0.0)) * 0.55
        }
    }
    .clamp(0.0, 1.0)
}

/// Skin with rosy cheeks, a rosy nose, and freckles on some.
fn face(canvas: &mut Canvas, looks: &Looks) {
    let skin = Tint::skin(looks.palette.skin);
    let red = lch(looks.palette.skin.light * 0.88, 0.145, 22.0);
    let rosy = Tint::skin(looks.palette.skin.mixed(red, 0.75));
    let brown = Tint::skin(looks.palette.skin.scaled(0.78, 1.35));
    // On dark skin the same blush would look like paint.
    let strength = mix(0.3, 0.72, smooth(0.42, 0.85, looks.palette.skin.light));
    let mut dice = Dice::new(looks.seed, 9);
    let spots: Vec<[f32; 3]> = (0..if looks.features.freckles { 22 } else { 0 })
        .map(|_| {
            let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
            [side * dice.around(0.008, 0.072), dice.around(-0.062, -0.03), dice.between(0.6, 1.3)]
        })
        .collect();
    canvas.fill(FACE, |right, up| {
        let (x, y) = ((right - 0.5) * FACE_METRES, (up - 0.5) * FACE_METRES);
        let cheek = ((x.abs() - 0.068) / 0.034).hypot((y + 0.052) / 0.024);
        let nose = (x / 0.018).hypot((y + 0.046) / 0.014);
        let warm = smooth(1.0, 0.2, cheek) * looks.features.blush * strength
            + smooth(1.1, 0.2, nose) * (0.08 + 0.16 * looks.features.blush);
        let spot = spots
            .iter()
            .map(|spot| smooth(0.0024 * spot[2], 0.001, (x - spot[0]).hypot(y - spot[1])))
            .fold(0.0, f32::max);
        skin.mixed(rosy, warm.min(1.0)).mixed(brown, spot * 0.55)
    });
}

/// The iris, as a disc that fills its panel, and the white, darker below the upper lid.
fn eye(canvas: &mut Canvas, looks: &Looks) {
    let colour = looks.palette.iris;
    let ring = Tint::cloth(colour.scaled(0.5, 0.9));
    let deep = Tint::cloth(colour.scaled(0.78, 1.0));
    let bright = Tint::cloth(colour.scaled(1.32, 1.15));
    let black = Tint::cloth(lch(0.15, 0.02, 280.0));
    let shine = Tint { lit: [255.0; 3], shade: [236.0, 238.0, 250.0] };
    canvas.fill(IRIS, |right, up| {
        let (x, y) = (right * 2.0 - 1.0, up * 2.0 - 1.0);
        let out = x.hypot(y);
        // Light comes from above and gathers at the bottom of the iris.
        let base = deep.mixed(bright, smooth(0.5, -0.8, y));
        let with_ring = base.mixed(ring, smooth(0.74, 0.9, out));
        let pupil = with_ring.mixed(black, smooth(0.5, 0.43, out));
        let large = smooth(0.27, 0.2, (x - 0.3).hypot((y - 0.42) * 0.95));
        let small = smooth(0.14, 0.09, (x + 0.34).hypot(y + 0.42)) * 0.8;
        pupil.mixed(shine, large.max(small))
    });
    let white = Tint { lit: [250.0, 250.0, 252.0], shade: [205.0, 205.0, 222.0] };
    let dim = Tint { lit: [196.0, 196.0, 216.0], shade: [164.0, 162.0, 188.0] };
    canvas.fill(WHITE, |_, up| white.mixed(dim, smooth(0.55, 1.0, up)));
}

impl Canvas {
    /// Paints a panel by a function of the share from its left and from its bottom.
    fn fill(&mut self, panel: Panel, colour: impl Fn(f32, f32) -> Tint) {
        let Panel(left, top, width, height) = panel;
        for row in 0..height {
            let up = 1.0 - (real(row) + 0.5) / real(height);
            for column in 0..width {
                let tint = colour((real(column) + 0.5) / real(width), up);
                let at = ((top + row) * WIDTH + left + column) * 3;
                self.lit[at..at + 3].copy_from_slice(&bytes(tint.lit));
                self.shade[at..at + 3].copy_from_slice(&bytes(tint.shade));
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "mixes of bytes stay bytes"
)]
fn bytes(colour: [f32; 3]) -> Rgb {
    // A cast cuts off: half more rounds, where a call of `round` for each would cost as much as the rest.
    colour.map(|channel| (channel.clamp(0.0, 255.0) + 0.5) as u8)
}

fn encode(pixels: &[u8]) -> Vec<u8> {
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    use image::{ExtendedColorType, ImageEncoder};
    let mut bytes = Vec::new();
    let [width, height] =
        [WIDTH, HEIGHT].map(|side| u32::try_from(side).expect("the picture is small"));
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Up)
        .write_image(pixels, width, height, ExtendedColorType::Rgb8)
        .expect("writing to memory and with matching sizes cannot fail");
    bytes
}
