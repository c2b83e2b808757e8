//! What a face does: the moods and sounds that VRM names, as movements of its features.

/// Movements from the face at rest, in metres of the reference where they are lengths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mood {
    /// How far each upper lid closes (1 wholly; below 0 it opens wider), left and right.
    pub(super) lid: [f32; 2],
    /// How far each lower lid is raised.
    pub(super) under: [f32; 2],
    pub(super) brow_up: f32,
    /// Above 0 the inner ends of the brows are raised.
    pub(super) brow_tilt: f32,
    pub(super) brow_in: f32,
    pub(super) open_up: f32,
    pub(super) open_down: f32,
    pub(super) wide: f32,
    /// What the corners of the mouth add to the smile at rest.
    pub(super) smile: f32,
    /// How much of the open mouth the teeth fill.
    pub(super) teeth: f32,
}

/// The face at rest, with a mouth that is just closed.
pub(super) const REST: Mood = Mood {
    lid: [0.0; 2],
    under: [0.0; 2],
    brow_up: 0.0,
    brow_tilt: 0.0,
    brow_in: 0.0,
    open_up: 0.0001,
    open_down: 0.0001,
    wide: 1.0,
    smile: 0.0,
    teeth: 0.24,
};

const fn mouth(open_up: f32, open_down: f32, wide: f32, smile: f32, teeth: f32) -> Mood {
    Mood { open_up, open_down, wide, smile, teeth, ..REST }
}

/// A mood by the name that VRM 1.0 gives it, with what it holds back: blinking, looking, speaking.
pub(super) struct Expression {
    pub(super) name: &'static str,
    pub(super) mood: Mood,
    pub(super) holds: [&'static str; 3],
}

const fn expression(name: &'static str, mood: Mood, holds: [&'static str; 3]) -> Expression {
    Expression { name, mood, holds }
}

const FREE: [&str; 3] = ["none", "none", "none"];

/// The morph targets, in their order.
pub(super) const EXPRESSIONS: [Expression; 12] = [
    expression("blinkLeft", Mood { lid: [1.0, 0.0], ..REST }, FREE),
    expression("blinkRight", Mood { lid: [0.0, 1.0], ..REST }, FREE),
    expression("aa", mouth(0.004, 0.0225, 0.92, 0.2, 0.18), FREE),
    expression("ih", mouth(0.003, 0.0085, 1.06, 0.2, 0.4), FREE),
    expression("ou", mouth(0.006, 0.0095, 0.46, -0.2, 0.0), FREE),
    expression("ee", mouth(0.0035, 0.0075, 1.2, 0.5, 0.55), FREE),
    expression("oh", mouth(0.008, 0.0165, 0.6, -0.2, 0.1), FREE),
    expression(
        "happy",
        Mood {
            lid: [0.12; 2],
            under: [0.5; 2],
            brow_up: 0.005,
            ..mouth(0.0006, 0.0165, 1.22, 1.1, 0.3)
        },
        ["blend", "none", "blend"],
    ),
    expression(
        "sad",
        Mood {
            lid: [0.2; 2],
            brow_tilt: 0.034,
            brow_up: 0.003,
            brow_in: 0.002,
            ..mouth(0.0001, 0.0001, 0.82, -1.9, 0.2)
        },
        FREE,
    ),
    expression(
        "angry",
        Mood {
            lid: [0.2; 2],
            under: [0.18; 2],
            brow_tilt: -0.042,
            brow_up: -0.008,
            brow_in: 0.006,
            ..mouth(0.0008, 0.003, 0.9, -1.7, 0.6)
        },
        FREE,
    ),
    expression(
        "surprised",
        Mood { lid: [-1.0; 2], brow_up: 0.0135, ..mouth(0.007, 0.015, 0.56, -0.2, 0.0) },
        ["none", "none", "blend"],
    ),
    expression(
        "relaxed",
        Mood {
            lid: [0.8; 2],
            under: [0.12; 2],
            brow_up: 0.003,
            ..mouth(0.0001, 0.0001, 1.1, 0.6, 0.2)
        },
        ["blend", "none", "none"],
    ),
];
