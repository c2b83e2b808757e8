//! What one person looks like: everything that a seed decides, before any of it is built.

use super::colour::{Lch, lch};
use super::dice::Dice;
use crate::rig::Proportions;
use crate::vector::mix;

/// How hair is worn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HairStyle {
    Short,
    Spiky,
    SidePart,
    Bob,
    Long,
    Ponytail,
    TwinTails,
    Bun,
    Curly,
    Cropped,
}

/// What is worn on the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Headwear {
    Nothing,
    Beanie,
    Cap,
    SunHat,
    Headphones,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top {
    Tee,
    LongSleeve,
    Sweater,
    Hoodie,
    Jacket,
    Dress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bottom {
    Trousers,
    Wide,
    Rolled,
    Shorts,
    Skirt,
}

/// What is woven or printed into the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Plain,
    Stripes,
    Band,
    Dots,
    Raglan,
    Fade,
    Checks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shoes {
    Sneakers,
    Boots,
    Slippers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glasses {
    Nothing,
    Round,
    Square,
}

/// The colours of a person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) skin: Lch,
    pub(super) hair: Lch,
    pub(super) iris: Lch,
    pub(super) top: Lch,
    /// Of patterns, trims and the shirt under a jacket.
    pub(super) second: Lch,
    pub(super) bottom: Lch,
    pub(super) accent: Lch,
    pub(super) shoes: Lch,
    pub(super) sole: Lch,
}

/// The face, in shares of its usual measures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Features {
    pub(super) eye_width: f32,
    pub(super) eye_height: f32,
    /// How far apart the eyes are.
    pub(super) eye_apart: f32,
    /// How much higher the outer corner of an eye is than the inner one, in radians.
    pub(super) eye_tilt: f32,
    /// How much of the eye the lid covers at rest.
    pub(super) lid: f32,
    pub(super) lashes: f32,
    pub(super) brow_thick: f32,
    pub(super) brow_tilt: f32,
    pub(super) brow_high: f32,
    pub(super) mouth_width: f32,
    pub(super) smile: f32,
    pub(super) nose: f32,
    pub(super) jaw: f32,
    pub(super) cheeks: f32,
    pub(super) blush: f32,
    pub(super) freckles: bool,
}

/// A person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks {
    pub(super) seed: u64,
    pub(super) proportions: Proportions,
    /// From narrow to broad, about 1.
    pub(super) build: f32,
    /// From square (0) to curved (1).
    pub(super) form: f32,
    pub(super) features: Features,
    pub(super) palette: Palette,
    pub(super) hair: HairStyle,
    /// Which side the hair is parted on and drawn to: 1 left, -1 right.
    pub(super) part: f32,
    pub(super) headwear: Headwear,
    pub(super) top: Top,
    pub(super) bottom: Bottom,
    pub(super) pattern: Pattern,
    pub(super) shoes: Shoes,
    pub(super) glasses: Glasses,
    pub(super) scarf: bool,
    pub(super) socks: bool,
}

impl Looks {
    /// The person that a seed stands for.
    pub(super) fn new(seed: u64) -> Looks {
        let mut dice = Dice::new(seed, 1);
        let form = dice.share();
        let (proportions, build) = frame(&mut dice, form);
        let palette = palette(&mut Dice::new(seed, 2));
        let mut dice = Dice::new(seed, 4);
        let hair = hair(&mut dice, form);
        let headwear = headwear(&mut dice, hair);
        let part = if dice.chance(0.5) { 1.0 } else { -1.0 };
        let mut dice = Dice::new(seed, 5);
        let top = top(&mut dice, form);
        let bottom = bottom(&mut dice, top, form);
        Looks {
            seed,
            proportions,
            build,
            form,
            features: features(&mut Dice::new(seed, 3), form),
            palette,
            hair,
            part,
            headwear,
            top,
            bottom,
            pattern: pattern(&mut dice, top),
            shoes: dice.pick(&[Shoes::Sneakers, Shoes::Sneakers, Shoes::Boots, Shoes::Slippers]),
            glasses: dice.pick(&[
                Glasses::Nothing,
                Glasses::Nothing,
                Glasses::Nothing,
                Glasses::Nothing,
                Glasses::Round,
                Glasses::Square,
            ]),
            scarf: dice.chance(0.24) && top != Top::Hoodie,
            socks: dice.chance(0.6),
        }
    }
}

fn frame(dice: &mut Dice, form: f32) -> (Proportions, f32) {
    let build = dice.around(0.8, 1.2);
    let proportions = Proportions {
        height: dice.around(1.505, 1.695),
        head: dice.around(0.99, 1.12),
        legs: dice.around(0.95, 1.045),
        arms: dice.around(0.96, 1.04),
        shoulders: mix(1.1, 0.9, form) * dice.around(0.95, 1.06) * mix(1.0, build, 0.35),
        hips: mix(0.94, 1.06, form) * mix(1.0, build, 0.3),
    };
    (proportions, build)
}

fn features(dice: &mut Dice, form: f32) -> Features {
    Features {
        eye_width: dice.around(0.86, 1.12),
        eye_height: dice.around(0.82, 1.1) * mix(0.95, 1.04, form),
        eye_apart: dice.around(0.94, 1.06),
        eye_tilt: dice.around(-0.1, 0.17),
        lid: dice.around(0.08, 0.32),
        lashes: mix(0.7, 1.35, form) * dice.around(0.85, 1.2),
        brow_thick: mix(1.3, 0.85, form) * dice.around(0.75, 1.3),
        brow_tilt: dice.around(-0.07, 0.2),
        brow_high: dice.around(-0.6, 1.0),
        mouth_width: dice.around(0.82, 1.25),
        smile: dice.around(0.7, 1.5),
        nose: dice.around(0.75, 1.35),
        jaw: mix(1.08, 0.93, form) * dice.around(0.92, 1.08),
        cheeks: dice.around(0.85, 1.2),
        blush: dice.around(0.3, 1.0),
        freckles: dice.chance(0.2),
    }
}

fn hair(dice: &mut Dice, form: f32) -> HairStyle {
    use HairStyle::{Bob, Bun, Cropped, Curly, Long, Ponytail, Short, SidePart, Spiky, TwinTails};
    let square = [Short, Short, Spiky, SidePart, SidePart, Curly, Cropped, Ponytail, Bun, Bob];
    let curved = [Bob, Bob, Long, Long, Ponytail, TwinTails, Bun, Curly, SidePart, Short];
    if dice.chance(form) { dice.pick(&curved) } else { dice.pick(&square) }
}

/// Hats go only over hair that fits below them.
fn headwear(dice: &mut Dice, hair: HairStyle) -> Headwear {
    use Headwear::{Beanie, Cap, Headphones, Nothing, SunHat};
    let flat =
        matches!(hair, HairStyle::Short | HairStyle::SidePart | HairStyle::Bob | HairStyle::Long)
            || hair == HairStyle::Cropped;
    if !dice.chance(0.3) {
        Nothing
    } else if flat {
        dice.pick(&[Beanie, Cap, SunHat, Headphones])
    } else {
        Nothing
    }
}

fn top(dice: &mut Dice, form: f32) -> Top {
    use Top::{Dress, Hoodie, Jacket, LongSleeve, Sweater, Tee};
    if form > 0.5 && dice.chance(0.3) {
        return Dress;
    }
    dice.pick(&[Tee, Tee, LongSleeve, Sweater, Hoodie, Jacket, Jacket])
}

fn bottom(dice: &mut Dice, top: Top, form: f32) -> Bottom {
    use Bottom::{Rolled, Shorts, Skirt, Trousers, Wide};
    match top {
        Top::Dress => Skirt,
        _ if form > 0.55 && dice.chance(0.35) => Skirt,
        _ => dice.pick(&[Trousers, Trousers, Wide, Rolled, Shorts]),
    }
}

fn pattern(dice: &mut Dice, top: Top) -> Pattern {
    use Pattern::{Band, Checks, Dots, Fade, Plain, Raglan, Stripes};
    match top {
        Top::Hoodie => dice.pick(&[Plain, Plain, Band, Raglan]),
        Top::Jacket => dice.pick(&[Plain, Plain, Band, Checks]),
        Top::Dress => dice.pick(&[Plain, Plain, Dots, Fade, Checks, Stripes]),
        Top::Tee | Top::LongSleeve | Top::Sweater => {
            dice.pick(&[Plain, Stripes, Stripes, Band, Dots, Raglan, Fade])
        }
    }
}

/// Skin from light to dark.
const SKIN: [Lch; 9] = [
    lch(0.90, 0.038, 52.0),
    lch(0.875, 0.048, 60.0),
    lch(0.84, 0.06, 62.0),
    lch(0.79, 0.072, 62.0),
    lch(0.73, 0.082, 62.0),
    lch(0.65, 0.085, 58.0),
    lch(0.56, 0.08, 54.0),
    lch(0.48, 0.068, 50.0),
    lch(0.415, 0.055, 46.0),
];

/// Hair as it grows.
const HAIR: [Lch; 8] = [
    lch(0.25, 0.015, 280.0),
    lch(0.30, 0.03, 40.0),
    lch(0.37, 0.055, 50.0),
    lch(0.46, 0.085, 52.0),
    lch(0.47, 0.125, 38.0),
    lch(0.64, 0.145, 55.0),
    lch(0.82, 0.1, 85.0),
    lch(0.76, 0.015, 260.0),
];

/// Hair as it is dyed.
const DYED: [Lch; 6] = [
    lch(0.74, 0.13, 0.0),
    lch(0.66, 0.1, 200.0),
    lch(0.50, 0.13, 262.0),
    lch(0.52, 0.14, 305.0),
    lch(0.80, 0.09, 165.0),
    lch(0.50, 0.17, 22.0),
];

const IRIS: [Lch; 7] = [
    lch(0.40, 0.07, 50.0),
    lch(0.48, 0.09, 60.0),
    lch(0.60, 0.11, 80.0),
    lch(0.58, 0.1, 150.0),
    lch(0.60, 0.1, 235.0),
    lch(0.62, 0.07, 215.0),
    lch(0.54, 0.1, 300.0),
];

/// Quiet colours that go with any other.
const QUIET: [Lch; 7] = [
    lch(0.36, 0.05, 262.0),
    lch(0.47, 0.07, 255.0),
    lch(0.32, 0.012, 280.0),
    lch(0.60, 0.035, 75.0),
    lch(0.80, 0.03, 85.0),
    lch(0.44, 0.045, 130.0),
    lch(0.40, 0.05, 40.0),
];

fn palette(dice: &mut Dice) -> Palette {
    let tone = dice.share();
    let skin = SKIN[crate::vector::whole(tone * 9.0).min(8)];
    let grown = if dice.chance(0.82) { dice.pick(&HAIR) } else { dice.pick(&DYED) };
    // Fair hair is rarer on dark skin, dark hair common on all.
    let hair = if skin.light < 0.6 && grown.light > 0.7 && dice.chance(0.6) {
        dice.pick(&HAIR[..4])
    } else {
        grown
    };
    let hue = dice.between(0.0, 360.0);
    // Hues that sit well together lie near, opposite, or a third of the circle apart.
    let apart = dice.pick(&[28.0, -32.0, 180.0, 155.0, 120.0, -120.0]);
    let light = dice.pick(&[0.50, 0.62, 0.70, 0.76, 0.84]);
    let top = lch(light, dice.between(0.07, 0.15), hue);
    let pale = lch(0.95, 0.018, 90.0);
    let deep = lch(0.33, 0.06, hue + apart);
    let second = if light > 0.74 {
        dice.pick(&[deep, lch(0.6, 0.13, hue + apart)])
    } else {
        dice.pick(&[pale, pale, lch(0.86, 0.09, hue + apart)])
    };
    let quiet = dice.pick(&QUIET);
    // A top and a bottom of one lightness run together.
    let bottom = if (quiet.light - top.light).abs() < 0.12 {
        quiet.scaled(0.62, 1.0)
    } else if dice.chance(0.28) {
        lch(if light > 0.65 { 0.45 } else { 0.74 }, 0.1, hue + apart)
    } else {
        quiet
    };
    let accent = lch(dice.between(0.6, 0.8), dice.between(0.12, 0.17), hue + apart);
    let shoes = dice.pick(&[accent, pale, lch(0.34, 0.03, 280.0), lch(0.5, 0.08, 50.0), second]);
    let sole = if shoes.light > 0.85 { lch(0.72, 0.05, 60.0) } else { pale };
    Palette { skin, hair, iris: dice.pick(&IRIS), top, second, bottom, accent, shoes, sole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_cover_what_there_is() {
        let people: Vec<Looks> = (0..200).map(Looks::new).collect();
        let kinds = |kind: &dyn Fn(&Looks) -> String| {
            people.iter().map(kind).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!(kinds(&|person| format!("{:?}", person.hair)), 10);
        assert_eq!(kinds(&|person| format!("{:?}", person.headwear)), 5);
        assert_eq!(kinds(&|person| format!("{:?}", person.top)), 6);
        assert_eq!(kinds(&|person| format!("{:?}", person.bottom)), 5);
        assert!(people.iter().all(|person| (1.5..1.7).contains(&person.proportions.height)));
    }
}
