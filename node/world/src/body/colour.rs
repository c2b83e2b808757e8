//! Colours as people see them: lightness, strength and hue (the OKLCH space), and bytes of sRGB.

/// A colour of sRGB, a byte a channel.
pub(super) type Rgb = [u8; 3];

/// A colour by lightness (0 to 1), strength (0 to about 0.3) and hue (degrees; 30 is red, 90
/// yellow, 145 green, 250 blue).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lch {
    pub(super) light: f32,
    pub(super) strength: f32,
    pub(super) hue: f32,
}

/// Short for a colour.
pub(super) const fn lch(light: f32, strength: f32, hue: f32) -> Lch {
    Lch { light, strength, hue }
}

impl Lch {
    /// The same hue, lighter or darker and stronger or weaker by these factors.
    pub(super) fn scaled(self, light: f32, strength: f32) -> Lch {
        lch((self.light * light).min(0.99), self.strength * strength, self.hue)
    }

    /// The hue moved by degrees.
    pub(super) fn turned(self, degrees: f32) -> Lch {
        lch(self.light, self.strength, self.hue + degrees)
    }

    /// Towards another colour, straight through the space, so never past grey into a third hue.
    pub(super) fn mixed(self, other: Lch, share: f32) -> Lch {
        let (a, b) = (self.plane(), other.plane());
        let (x, y) = (a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share);
        let light = self.light + (other.light - self.light) * share;
        lch(light, x.hypot(y), y.atan2(x).to_degrees())
    }

    /// What a surface of this colour shows where no light falls on it: darker, and its hue drawn
    /// towards violet, as under an open sky.
    pub(super) fn shaded(self) -> Lch {
        // Dark cloth keeps something of the sky, or folds and legs would run into one black.
        let light = self.light * 0.7 + 0.06;
        let cool = lch(light, self.strength * 1.05 + 0.012, self.hue);
        cool.mixed(lch(light, 0.06, 295.0), 0.22)
    }

    /// The shade of skin: light that went through it comes out red.
    pub(super) fn shaded_skin(self) -> Lch {
        self.mixed(lch(self.light * 0.76, self.strength * 1.1 + 0.012, 32.0), 0.66)
    }

    fn plane(self) -> (f32, f32) {
        let angle = self.hue.to_radians();
        (self.strength * angle.cos(), self.strength * angle.sin())
    }

    /// As bytes, with what sRGB cannot show brought to its edge by weakening it.
    pub(super) fn rgb(self) -> Rgb {
        let mut colour = self;
        for _ in 0..12 {
            let linear = colour.linear();
            if linear.iter().all(|channel| (-0.002..=1.002).contains(channel)) {
                break;
            }
            colour.strength *= 0.9;
        }
        colour.linear().map(encode)
    }

    /// Linear light, by the published matrices of `OKLab`.
    fn linear(self) -> [f32; 3] {
        let (a, b) = self.plane();
        let long = (self.light + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
        let middle = (self.light - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
        let short = (self.light - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
        [
            4.076_741_7 * long - 3.307_711_6 * middle + 0.230_969_94 * short,
            -1.268_438 * long + 2.609_757_4 * middle - 0.341_319_38 * short,
            -0.004_196_086_3 * long - 0.703_418_6 * middle + 1.707_614_7 * short,
        ]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a byte before"
)]
fn encode(linear: f32) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let curve =
        if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (curve * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_colours_come_out_as_their_bytes() {
        assert_eq!(lch(1.0, 0.0, 0.0).rgb(), [255, 255, 255]);
        assert_eq!(lch(0.0, 0.0, 0.0).rgb(), [0, 0, 0]);
        let red = lch(0.627_96, 0.257_68, 29.234).rgb();
        assert!(red[0] >= 253 && red[1] < 12 && red[2] < 12, "{red:?}");
    }
}
