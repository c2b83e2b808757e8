//! What every motion keeps to.
use super::file::keys;
use super::gait::HEEL;
use super::pose::{Pose, Side, Stage};
use super::*;
use crate::vector::{V3, v3};

#[test]
fn names_read_back() {
    for motion in Motion::ALL {
        assert_eq!(Motion::from_name(motion.name()), Some(motion));
    }
    assert_eq!(Motion::from_name("fly"), None);
}

/// Where heel and ball of a foot are.
fn soles(stage: &Stage, pose: &Pose, side: Side) -> [V3; 2] {
    let ankle = pose.place(stage, stage.rig.find(&side.bone("Foot")));
    let toes = pose.place(stage, stage.rig.find(&side.bone("Toes")));
    let heel = ankle.at + ankle.turn.apply(v3(0.0, -stage.ankle(side).y, HEEL));
    let ball = toes.at - v3(0.0, stage.rig.at(&side.bone("Toes")).y, 0.0);
    [heel, ball]
}

/// The most that a point of a standing foot moves against the ground, in metres.
fn slide(motion: Motion) -> f32 {
    let stage = Stage::new();
    let (speed, seconds) = (motion.speed_mps().unwrap(), motion.seconds());
    let mut worst = 0.0_f32;
    for side in Side::BOTH {
        for part in 0..2 {
            // Finer than the keys, so that what lies between them counts too.
            let mut stand: Vec<V3> = Vec::new();
            for number in 0..=400 {
                let at = seconds * crate::vector::real(number) / 200.0;
                let pose = motion.pose(&stage, at.rem_euclid(seconds));
                let point = soles(&stage, &pose, side)[part] + v3(0.0, 0.0, speed * at);
                if point.y < 0.008 {
                    stand.push(point);
                    let reach = |pick: fn(&V3) -> f32| {
                        let low = stand.iter().map(pick).fold(f32::MAX, f32::min);
                        stand.iter().map(pick).fold(f32::MIN, f32::max) - low
                    };
                    worst = worst.max(reach(|point| point.z).hypot(reach(|point| point.x)));
                } else {
                    stand.clear();
                }
            }
        }
    }
    worst
}

#[test]
fn standing_feet_do_not_slide() {
    for motion in [Motion::Walk, Motion::Run] {
        let slide = slide(motion);
        println!("{}: feet slide {:.1} mm", motion.name(), slide * 1000.0);
        assert!(slide <= 0.05, "{}: {slide} m", motion.name());
    }
}

/// How far the knees bend, least and most, in degrees.
fn knees(motion: Motion) -> (f32, f32) {
    let stage = Stage::new();
    let bone = stage.rig.find("leftLowerLeg");
    let (_, poses) = keys(motion, &stage);
    let angles = poses.iter().map(|pose| 2.0 * pose.turns[bone].w.clamp(-1.0, 1.0).acos());
    let angles: Vec<f32> = angles.map(f32::to_degrees).collect();
    let least = angles.iter().copied().fold(f32::MAX, f32::min);
    (least, angles.iter().copied().fold(f32::MIN, f32::max))
}

#[test]
fn knees_bend() {
    for (motion, most) in [(Motion::Walk, 50.0), (Motion::Run, 85.0), (Motion::Jump, 45.0)] {
        let (least, bent) = knees(motion);
        println!("{}: knees bend from {least:.0} to {bent:.0} degrees", motion.name());
        assert!(least < 30.0 && bent > most && bent < 150.0, "{}: {bent}", motion.name());
    }
    let (least, _) = knees(Motion::Sit);
    println!("sit: knees bent by {least:.0} degrees");
    assert!(least > 60.0);
}

#[test]
fn nothing_jerks_and_loops_close() {
    let stage = Stage::new();
    for motion in Motion::ALL {
        let (times, poses) = keys(motion, &stage);
        let step = times[1];
        let mut fastest = (0.0_f32, String::new());
        for pair in poses.windows(2) {
            assert!((pair[1].hips - pair[0].hips).length() < 0.12, "{}", motion.name());
            for (bone, (from, to)) in pair[0].turns.iter().zip(&pair[1].turns).enumerate() {
                let angle = 2.0 * (from.back() * *to).w.abs().min(1.0).acos() / step;
                assert!(angle.is_finite());
                if angle > fastest.0 {
                    fastest = (angle, stage.rig.bones[bone].name.clone());
                }
            }
        }
        println!("{}: fastest {} at {:.1} rad/s", motion.name(), fastest.1, fastest.0);
        assert!(fastest.0 < 24.0, "{}: {fastest:?}", motion.name());
    }
}

#[test]
fn feet_stay_on_the_ground() {
    let stage = Stage::new();
    for motion in Motion::ALL {
        for pose in keys(motion, &stage).1 {
            for point in Side::BOTH.iter().flat_map(|side| soles(&stage, &pose, *side)) {
                assert!(point.y > -0.012, "{}: {point:?}", motion.name());
            }
        }
    }
}

#[test]
fn files_are_small_and_whole() {
    for motion in Motion::ALL {
        let file = vrma(motion);
        assert!(file.len() <= 120_000, "{}: {} bytes", motion.name(), file.len());
        assert_eq!(file, vrma(motion));
    }
}
