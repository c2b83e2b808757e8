//! The default world: a plaza by the water at evening, made by arithmetic alone.
//!
//! The layout, in metres, +Y up. The sea is in the north (+Z), where the sun stands low; people
//! arrive in the south (-Z) on a terrace 3.2 m above the paving and look north over everything:
//!
//! ```text
//!                    hills and islands
//!          ~~~~~~~~  pavilion (9, 45)  ~~~~~~~~
//!                       pier
//!      ===== quay, z = 14 to 24, with benches =====
//!   houses        (        fountain       stage )   market
//!   (33, -2)      (  round plaza, radius 19     )  (-29, -5)
//!                  portals 1, 2     portals 3, 4
//!                        stairs
//!                  terrace, z = -38 to -24: spawns, portal 5
//!                      hills and woods
//! ```
//!
//! +X is the west and lies on the left hand of who arrives. Low walls and railings close the land,
//! and higher walls that are not drawn stand in them. [`glb`] gives a scene whose nodes are: the
//! drawn meshes (`ground`, `hills`, `buildings`, `leaves`, `woods`, `grass`, `horizon`, `lanterns`,
//! `windows`, `linings`, `water`, `basins`, `spray`, `lamplight`), `sun` and `light_N` with
//! `KHR_lights_punctual`, `spawn_N`, `seat_N`, `portal_N` (an empty node on the threshold of an
//! arch 2.5 m wide and 3.25 m high, facing out of it along +Z), and bodies that only hold. Faces
//! of `water` may be given another material: it is a flat disc at -0.9 m. Its invariant: the same
//! bytes each time, without a warning from the validator of glTF.

mod arithmetic;
mod fittings;
mod growth;
mod horizon;
mod houses;
mod land;
mod mesh;
mod palette;
mod paving;
mod scene;
mod shade;
mod site;
mod stage;
#[cfg(test)]
mod tests;

use arithmetic::{Frame, v3, yaw_towards};
use shade::Occupied;
use site::Site;

/// A picture of the plaza, as JPEG, 960 by 540.
pub const PREVIEW: &[u8] = include_bytes!("preview.jpg");

/// The default world as a binary glTF 2.0 asset.
#[must_use]
pub fn glb() -> Vec<u8> {
    scene::write(&built())
}

fn built() -> Site {
    let mut site = Site { ground: land::near(), around: land::around(), ..Site::default() };
    paving::build(&mut site);
    stage::build(&mut site);
    fittings::build(&mut site);
    houses::build(&mut site);
    growth::build(&mut site);
    horizon::build(&mut site);
    spawns(&mut site);
    shade(&mut site);
    site
}

/// Where people arrive: in two loose rows, all with the fountain before them.
fn spawns(site: &mut Site) {
    let ahead = v3(-1.0, 0.0, 20.0);
    for (x, z) in [
        (0.0, -29.6),
        (1.7, -30.2),
        (-1.7, -30.2),
        (3.3, -31.0),
        (-3.3, -31.0),
        (0.9, -31.8),
        (-0.9, -31.8),
        (2.5, -32.8),
        (-2.5, -32.8),
        (0.0, -33.8),
    ] {
        let at = v3(x, land::TERRACE, z);
        site.spawns.push(Frame::new(at, yaw_towards(at, ahead)));
    }
}

fn shade(site: &mut Site) {
    let mut occupied = Occupied::new();
    for mesh in [&site.ground, &site.matter, &site.leaves] {
        occupied.fill(mesh);
    }
    occupied.darken(&mut site.ground, 0.85);
    occupied.darken(&mut site.matter, 0.85);
    occupied.darken(&mut site.leaves, 0.48);
    occupied.darken(&mut site.woods, 0.5);
    occupied.darken(&mut site.grass, 0.7);
}
