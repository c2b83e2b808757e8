//! The world behind the doors: what can be computed of it without asking anyone.
//!
//! For now that is [`picture`]: what an image is, and a smaller copy of it.
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

pub mod picture;
