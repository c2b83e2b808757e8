//! Bodies: for every seed a person of their own, as a VRM 1.0 file.
//!
//! A body is sculpted from clay (signed distances, melted into one another), meshed, painted with a
//! palette that was chosen to sit well together, and hung on the skeleton that [`crate::motion`]
//! moves. Its file has one skinned mesh in two parts: the body with all that is worn, and the face,
//! whose morph targets make the expressions that VRM names.
//!
//! Its invariant: the same seed gives the same bytes, of at most 300 KB and 12,000 triangles.
//!
//! ```
//! let person = wayside_world::body::vrm(7);
//! assert_eq!(&person[..4], b"glTF");
//! assert_eq!(person, wayside_world::body::vrm(7));
//! assert_ne!(person, wayside_world::body::vrm(8));
//! ```

mod assemble;
mod clay;
mod clothes;
mod colour;
mod dice;
mod face;
mod feet;
mod figure;
mod hair;
mod headwear;
mod looks;
mod material;
mod mesher;
mod mood;
mod paint;
mod relief;
mod skin;
mod springs;

#[cfg(test)]
mod tests;
mod thin;
mod vrm;

/// The bytes of a body, at most.
const MOST_BYTES: usize = 300_000;
/// By how much bodies that would have more keep less of their clay.
const COARSER: [f32; 3] = [1.35, 1.8, 2.4];

/// The body of a seed: a GLB with `VRMC_vrm` 1.0, `VRMC_springBone` and `VRMC_materials_mtoon`.
///
/// It stands in T-pose with its feet on the ground, faces +Z, is between 1.5 and 1.7 m high without
/// its hair, and allows everything that its licence can allow: nobody's work is in it but ours.
#[must_use]
pub fn vrm(seed: u64) -> Vec<u8> {
    let made = |coarse: f32| vrm::write(&assemble::Body::of(seed, thin::TOLERANCE * coarse));
    let mut file = made(1.0);
    // One person in hundreds has so long hair and so much to wear that the file would be too large:
    // theirs keeps less of the clay, until it is not.
    for coarse in COARSER {
        if file.len() <= MOST_BYTES {
            break;
        }
        file = made(coarse);
    }
    file
}
