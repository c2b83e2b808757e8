//! How large a file may be, and from which counts on it is heavy.

use super::report::{Counts, Rank};

/// The most that a file may hold. What is beyond is refused before memory is asked for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of its JSON.
    pub json_bytes: u64,
    /// Values in its JSON, counted by what separates and opens them.
    pub json_values: u64,
    /// Levels of arrays and objects in its JSON.
    pub json_depth: u64,
    /// Triangles, counted as they are drawn.
    pub triangles: u64,
    /// Vertices, counted as they are drawn.
    pub vertices: u64,
    /// Primitives, counted as they are drawn.
    pub draws: u64,
    /// Materials.
    pub materials: u64,
    /// Nodes.
    pub nodes: u64,
    /// Levels of nodes below the root.
    pub node_depth: u64,
    /// Nodes that are joints of skins; the skins together may name each eight times.
    pub bones: u64,
    /// Morph targets of all meshes.
    pub morph_targets: u64,
    /// Vertices of all morph targets together: what they take on the graphics card.
    pub morph_vertices: u64,
    /// Images.
    pub textures: u64,
    /// Pixels of an image along its longer side.
    pub texture_edge: u64,
    /// Bytes of all images when they are decoded, four a pixel.
    pub texture_bytes: u64,
    /// Nodes that springs move.
    pub spring_joints: u64,
    /// Metres from the origin to the farthest corner.
    pub metres: f32,
}

impl Limits {
    /// What somebody wears: at most 25 MB, and never larger than a house.
    pub const AVATAR: Self = Self {
        bytes: 25_000_000,
        json_bytes: 8_000_000,
        json_values: 400_000,
        json_depth: 64,
        triangles: 500_000,
        vertices: 500_000,
        draws: 256,
        materials: 256,
        nodes: 8_192,
        node_depth: 256,
        bones: 4_096,
        morph_targets: 4_096,
        morph_vertices: 20_000_000,
        textures: 128,
        texture_edge: 8_192,
        texture_bytes: 512 * 1024 * 1024,
        spring_joints: 2_048,
        metres: 20.0,
    };

    /// A place to be in: at most 64 MB.
    pub const SCENE: Self = Self {
        bytes: 64_000_000,
        json_bytes: 16_000_000,
        json_values: 1_000_000,
        json_depth: 64,
        triangles: 3_000_000,
        vertices: 4_000_000,
        draws: 20_000,
        materials: 2_048,
        nodes: 50_000,
        node_depth: 256,
        bones: 16_384,
        morph_targets: 8_192,
        morph_vertices: 40_000_000,
        textures: 1_024,
        texture_edge: 8_192,
        texture_bytes: 1024 * 1024 * 1024,
        spring_joints: 4_096,
        metres: 20_000.0,
    };
}

const MIB: u64 = 1024 * 1024;

/// A count, and the most of it for each rank but the last.
type Row = (fn(&Counts) -> u64, [u64; 4]);

/// Excellent, good, medium, poor: whoever has more in any row is of the next rank.
const RANKS: [Row; 6] = [
    (|counts| counts.triangles, [15_000, 32_000, 70_000, 150_000]),
    (|counts| counts.draws, [6, 12, 24, 48]),
    (|counts| counts.bones, [100, 200, 350, 600]),
    (|counts| counts.texture_bytes, [32 * MIB, 80 * MIB, 160 * MIB, 320 * MIB]),
    (|counts| counts.spring_joints, [32, 96, 192, 384]),
    (|counts| counts.morph_targets, [64, 128, 256, 512]),
];

/// The rank of the worst count.
pub(super) fn rank(counts: &Counts) -> Rank {
    let of = |(count, most): &Row| match most.iter().position(|most| count(counts) <= *most) {
        Some(0) => Rank::Excellent,
        Some(1) => Rank::Good,
        Some(2) => Rank::Medium,
        Some(_) => Rank::Poor,
        None => Rank::VeryPoor,
    };
    RANKS.iter().map(of).max().unwrap_or(Rank::Excellent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_count_ranks() {
        let light = Counts { triangles: 15_000, draws: 2, ..Counts::default() };
        assert_eq!(rank(&light), Rank::Excellent);
        assert_eq!(rank(&Counts { triangles: 15_001, ..light.clone() }), Rank::Good);
        assert_eq!(rank(&Counts { bones: 350, ..light.clone() }), Rank::Medium);
        assert_eq!(rank(&Counts { draws: 48, ..light.clone() }), Rank::Poor);
        assert_eq!(rank(&Counts { texture_bytes: 321 * MIB, ..light }), Rank::VeryPoor);
    }
}
