//! A whole body from its looks: every surface, what holds it, and where it is coloured.

use super::clothes::{self, LEG_BONES, SKIRT_BONES};
use super::face::Features;
use super::feet;
use super::figure::Figure;
use super::hair::{Chain, Hair};
use super::headwear;
use super::looks::{Bottom, HairStyle, Looks, Top};
use super::mesher::{Grid, Surface, surface};
use super::mood::{EXPRESSIONS, REST};
use super::paint::{self, BOTTOM, FACE, FACE_METRES, Pictures, Strip, TOP, place, strip};
use super::relief::Relief;
use super::skin::{Hold, Holder, Skinned, held_by};
use super::thin::thin;
use crate::rig::Rig;
use crate::vector::{V3, mix, smooth, v3};

/// The panel of the top is that many metres of the reference wide and high.
const TOP_METRES: [f32; 2] = [1.2, 0.9];

/// Joints that swing, hung on the skeleton.
pub(super) struct Strand {
    pub(super) name: &'static str,
    /// The joints in their order, with the end that only tells where the last one points.
    pub(super) joints: Vec<usize>,
    pub(super) radius: f32,
}

/// A body, ready to be written.
pub(super) struct Body {
    pub(super) looks: Looks,
    pub(super) rig: Rig,
    pub(super) strands: Vec<Strand>,
    pub(super) flesh: Skinned,
    pub(super) face: Skinned,
    /// For each expression, how far every point of the face moves.
    pub(super) morphs: Vec<Vec<[f32; 3]>>,
    pub(super) pictures: Pictures,
    /// The middle of the head and metres of it for one of the reference.
    pub(super) head: super::figure::Head,
}

impl Body {
    /// Of a seed, with a surface that keeps within so many metres of its clay.
    pub(super) fn of(seed: u64, tolerance: f32) -> Body {
        let looks = Looks::new(seed);
        let bare = Rig::new(looks.proportions);
        let figure = Figure::new(&looks, &bare, tolerance);
        let mut rig = bare.clone();
        let mut flesh = Skinned::default();
        let mut strands = Vec::new();
        add_head(&figure, &mut rig, &mut strands, &mut flesh);
        add_hands(&figure, &mut flesh);
        add_clothes(&figure, &mut flesh);
        add_legs(&figure, &mut flesh);
        if let Some((cloth, chain)) = clothes::scarf(&figure) {
            let holder = Holder::of(&bare, &["upperChest", "neck", "chest"]);
            let holder = hang(&chain, &mut rig, &mut strands, holder, 0.75);
            flesh.add(&cloth, |_, _| strip(Strip::Accent, 0.5), |at| holder.hold(at));
        }
        let relief = Relief::of(&figure);
        for (name, sign) in [("leftEye", 1.0), ("rightEye", -1.0)] {
            let number = rig.find(name);
            rig.bones[number].at = super::face::pivot(&figure, &relief, sign);
        }
        let (face, morphs) = face(&figure, &relief);
        if let Some(frames) = headwear::glasses(&figure, |x, y, over| relief.lift(x, y, over).0) {
            let head = held_by(bare.find("head"));
            flesh.add(&frames, |_, _| strip(Strip::Frame, 0.5), |_| head);
        }
        let pictures = paint::paint(&looks);
        let head = figure.head;
        Body { looks, rig, strands, flesh, face, morphs, pictures, head }
    }
}

/// Hangs a chain on the skeleton and lets it hold what is near.
fn hang(
    chain: &Chain,
    rig: &mut Rig,
    strands: &mut Vec<Strand>,
    holder: Holder,
    reach: f32,
) -> Holder {
    let mut parent = clothes::root_of(chain, rig);
    let mut joints = Vec::new();
    for (number, at) in chain.points.iter().enumerate() {
        parent = rig.hang(format!("{}{number}", chain.name), parent, *at);
        joints.push(parent);
    }
    let held = chain.points.windows(2).zip(&joints);
    let holder =
        held.fold(holder, |holder, (ends, joint)| holder.with(*joint, ends[0], ends[1], reach));
    strands.push(Strand { name: chain.name, joints, radius: chain.radius });
    holder
}

/// Skull, neck, hair and hat.
fn add_head(figure: &Figure, rig: &mut Rig, strands: &mut Vec<Strand>, flesh: &mut Skinned) {
    let head = figure.head;
    let scale = head.scale;
    let face = figure.face();
    let hair = Hair::of(figure);
    let cover = headwear::cover(figure);
    let neck = figure.at("neck");
    let head_bone = rig.find("head");
    let holder = Holder::of(rig, &["head", "neck", "upperChest", "leftShoulder", "rightShoulder"]);
    let grid = Grid {
        low: v3(-0.155 * scale, neck.y - 0.05 * figure.unit, -0.15 * scale),
        high: head.point(0.155, 0.16, 0.15),
        cell: v3(0.0172, 0.0172, 0.0172) * scale,
    };
    let covered = |point: V3| {
        let hat = cover.as_ref().map_or(1.0, |cover| cover(point));
        hat.min(hair.at(point))
    };
    let skin = surface(&|point| face.at(point), grid).without(&covered, 0.005 * scale);
    let skin = thin(skin, figure.tolerance * 0.48, 0.05);
    // All above the chin moves with the head alone, so that the face never bends.
    let chin = head.point(0.0, -0.105, 0.0).y;
    let hold = |at: V3| if at.y > chin { held_by(head_bone) } else { holder.hold(at) };
    flesh.add(&skin, |at, normal| face_uv(figure, at, normal), hold);

    let mut holder = Holder::of(rig, &["head"]);
    for chain in &hair.chains {
        holder = hang(chain, rig, strands, holder, 1.1);
    }
    let low = if figure.looks.hair == HairStyle::Long { -0.36 } else { -0.23 };
    let low = if hair.chains.is_empty() { -0.17 } else { low };
    let grid = Grid {
        low: head.point(-0.24, low, -0.27),
        high: head.point(0.24, 0.26, 0.2),
        cell: v3(0.0158, 0.0162, 0.0158) * scale,
    };
    let inside = |point: V3| {
        let hat = cover.as_ref().map_or(1.0, |cover| cover(point));
        hat.min(face.at(point))
    };
    let locks = surface(&|point| hair.at(point), grid).without(&inside, 0.003 * scale);
    let locks = thin(locks, figure.tolerance * 1.5, 0.06);
    let crown =
        |at: V3, _: V3| strip(Strip::Hair, (at.y - head.point(0.0, -0.2, 0.0).y) / (0.36 * scale));
    flesh.add(&locks, crown, |at| holder.hold(at));
    for piece in headwear::pieces(figure, cover.as_ref()) {
        flesh.add(&piece.surface, |_, _| strip(piece.colour, 0.5), |_| held_by(head_bone));
    }
}

/// The front of the head is seen from the front; the back shows plain skin.
fn face_uv(figure: &Figure, at: V3, normal: V3) -> [f32; 2] {
    let local = (at - figure.head.centre) * (1.0 / figure.head.scale);
    let away = smooth(0.15, -0.15, normal.z) * 0.2;
    let x = local.x + if local.x < 0.0 { -away } else { away };
    place(FACE, x / FACE_METRES + 0.5, local.y / FACE_METRES + 0.5)
}

/// Both hands, and the forearms as far as sleeves leave them bare.
fn add_hands(figure: &Figure, flesh: &mut Skinned) {
    let unit = figure.unit;
    let sleeve = clothes::TopCut::of(figure).sleeve;
    let wrist = figure.at("leftHand");
    let mut names: Vec<String> = vec!["LowerArm".into(), "Hand".into()];
    for finger in ["Thumb", "Index", "Middle", "Ring", "Little"] {
        let parts = if finger == "Thumb" {
            ["Metacarpal", "Proximal", "Distal"]
        } else {
            ["Proximal", "Intermediate", "Distal"]
        };
        names.extend(parts.map(|part| format!("{finger}{part}")));
    }
    let clay = figure.hand();
    let start = wrist.x - 0.018 * unit;
    let grid = Grid {
        low: wrist + v3(-0.018, -0.045, -0.07) * unit,
        high: wrist + v3(0.19, 0.045, 0.1) * unit,
        cell: v3(0.015, 0.0108, 0.0092) * unit,
    };
    let hand = thin(surface(&|point| clay.at(point), grid), figure.tolerance * 0.85, 0.03);
    let holders = ["left", "right"].map(|side| {
        let names: Vec<String> = names.iter().map(|name| format!("{side}{name}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Holder::of(figure.rig, &names)
    });
    // Finger tips are rosy.
    let rosy = move |at: V3, _: V3| {
        strip(Strip::Skin, smooth(0.09 * unit, 0.16 * unit, at.x.abs() - wrist.x) * 0.55)
    };
    flesh.add(&hand, rosy, |at| holders[0].hold(at));
    flesh.add(&hand.mirrored(), rosy, |at| holders[1].hold(at));
    if sleeve > start {
        return;
    }
    let arm = figure.arm(1.0, [0.0; 3]);
    let grid = Grid {
        low: v3(sleeve - 0.045 * unit, wrist.y - 0.08 * unit, wrist.z - 0.08 * unit),
        high: v3(start + 0.03 * unit, wrist.y + 0.08 * unit, wrist.z + 0.08 * unit),
        cell: v3(0.036, 0.0185, 0.0185) * unit,
    };
    let bare = surface(&|point| arm.at(point), grid).without(&|point| clay.at(point), 0.001);
    let bare = thin(bare, figure.tolerance, 0.06);
    for (side, bare) in [("left", bare.clone()), ("right", bare.mirrored())] {
        let names = ["UpperArm", "LowerArm", "Hand"].map(|bone| format!("{side}{bone}"));
        let holder = Holder::of(figure.rig, &names.each_ref().map(String::as_str));
        flesh.add(&bare, |_, _| strip(Strip::Skin, 0.0), |at| holder.hold(at));
    }
}

fn top_uv(figure: &Figure, at: V3) -> [f32; 2] {
    let unit = figure.unit;
    let neck = figure.at("neck").y;
    let shoulder = figure.at("leftUpperArm");
    // Down the sleeves a pattern goes on as it does down the trunk, in rings.
    let along = (at.x.abs() - shoulder.x) / unit;
    let height = (at.y - neck) / unit;
    let sleeve = -0.05 - along;
    // Only where the arm is: the hips may be as far out as the shoulders.
    let arm = smooth(-0.01, 0.06, along) * smooth(-0.17, -0.12, height);
    let up = mix(height, sleeve, arm);
    place(TOP, at.x / unit / TOP_METRES[0] + 0.5, (up + TOP_METRES[1] - 0.05) / TOP_METRES[1])
}

/// What is worn on the trunk.
fn add_clothes(figure: &Figure, flesh: &mut Skinned) {
    let holder = Holder::trunk(figure.rig);
    let top = clothes::top(figure);
    flesh.add(&top, |at, _| top_uv(figure, at), |at| holder.hold(at));
    if let Some(shirt) = clothes::under_shirt(figure) {
        flesh.add(&shirt, |_, _| strip(Strip::Under, 0.5), |at| holder.hold(at));
    }
    let trousers = clothes::trousers(figure);
    let hem = trousers.at.iter().fold(9.0_f32, |low, at| low.min(at.y));
    let uv = |at: V3, _: V3| place(BOTTOM, 0.5, (at.y - hem) / figure.unit / 0.9);
    for side in ["left", "right"] {
        let names = LEG_BONES.map(|bone| format!("{side}{bone}"));
        let [upper, lower, foot] = names.each_ref().map(String::as_str);
        let legs = Holder::of(figure.rig, &["hips", "spine", upper, lower, foot]);
        let half = if side == "left" { trousers.clone() } else { trousers.mirrored() };
        flesh.add(&half, uv, |at| legs.hold(at));
    }
    if let Some((skirt, shares)) = clothes::skirt(figure) {
        let holder = Holder::of(figure.rig, &SKIRT_BONES);
        add_skirt(figure, flesh, &skirt, &shares, |at| holder.hold(at));
    }
}

fn add_skirt(
    figure: &Figure,
    flesh: &mut Skinned,
    skirt: &Surface,
    shares: &[[f32; 2]],
    hold: impl Fn(V3) -> Hold,
) {
    let first = flesh.uv.len();
    flesh.add(skirt, |_, _| [0.0; 2], hold);
    let dress = figure.looks.top == Top::Dress && figure.looks.bottom == Bottom::Skirt;
    for (at, share) in shares.iter().enumerate() {
        flesh.uv[first + at] = if dress {
            // The cloth of the upper part goes on, unrolled.
            let point = skirt.at[at];
            let around = (share[0] - 0.5) * TOP_METRES[0] * 0.98;
            let mut uv = top_uv(figure, v3(0.0, point.y, point.z));
            uv[0] = place(TOP, around / TOP_METRES[0] + 0.5, 0.5)[0];
            uv
        } else {
            place(BOTTOM, share[0], share[1])
        };
    }
}

/// Shoes, and the legs above them where they show.
fn add_legs(figure: &Figure, flesh: &mut Skinned) {
    let shoe = feet::shoe(figure);
    let leg = feet::bare_leg(figure);
    let sock = feet::sock_height(figure);
    for side in ["left", "right"] {
        let bones = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| format!("{side}{name}")).collect();
            Holder::of(figure.rig, &names.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let turned = |surface: &Surface| {
            if side == "left" { surface.clone() } else { surface.mirrored() }
        };
        let holder = bones(&["LowerLeg", "Foot", "Toes"]);
        let shade = |at: V3, _: V3| strip(Strip::Shoe, feet::shoe_share(figure, at.y));
        flesh.add(&turned(&shoe), shade, |at| holder.hold(at));
        if let Some(leg) = &leg {
            let holder = bones(&["UpperLeg", "LowerLeg", "Foot"]);
            // The strip turns from sock to skin in its middle.
            let edge = |at: V3, _: V3| strip(Strip::Sock, 0.5 + 5.0 * (at.y - sock) / figure.unit);
            flesh.add(&turned(leg), edge, |at| holder.hold(at));
        }
    }
}

/// The face at rest, and how every expression moves it.
fn face(figure: &Figure, relief: &Relief) -> (Skinned, Vec<Vec<[f32; 3]>>) {
    let features = Features::new(figure, relief);
    let rest = features.sheets(&REST);
    let mut face = Skinned::default();
    for sheet in &rest {
        let first = face.uv.len();
        face.add(&sheet.surface, |_, _| [0.0; 2], |_| sheet.hold);
        face.uv[first..].copy_from_slice(&sheet.uv);
    }
    let moved = |expression: &super::mood::Expression| {
        let sheets = features.sheets(&expression.mood);
        let points = rest.iter().zip(&sheets).flat_map(|(rest, moved)| {
            rest.surface.at.iter().zip(&moved.surface.at).map(|(from, to)| (*to - *from).array())
        });
        points.collect()
    };
    let morphs = EXPRESSIONS.iter().map(moved).collect();
    (face, morphs)
}
