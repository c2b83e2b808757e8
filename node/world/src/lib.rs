//! The world behind the doors: what can be computed of it without asking anyone.
//!
//! [`scene`] reads what an instance needs of a world's scene, [`instance`] is one running copy of a
//! world, and [`realtime`] what it says to its visitors. [`body`] makes a person's body from a seed
//! and [`motion`] what bodies do; [`glb`] writes what they make, and [`inspect`] looks at what
//! strangers made. [`plaza`] is the world that a node has before anyone makes another. [`picture`]
//! tells what an image is and makes a smaller copy of it.
//!
//! Its invariant: bytes in, bytes out, no I/O, clock, lock or randomness; what would need too much
//! memory is refused from its header, before memory is asked for.
//!
//! ```
//! use wayside_world::picture::{Method, PictureError, Size, thumbnail};
//!
//! let size = Size { width: 96, height: 96 };
//! assert_eq!(thumbnail(b"not a picture", size, Method::Crop), Err(PictureError::Unsupported));
//! ```

pub mod body;
pub mod glb;
pub mod inspect;
pub mod instance;
pub mod motion;
pub mod picture;
pub mod plaza;
pub mod realtime;
mod rig;
pub mod scene;
mod vector;
