//! The common language of the house: words, ids and limits that more than one room speaks.
//!
//! The prose beside this crate (`specs/*.md`) is normative; the types here carry its numbers. The
//! crate does no I/O and holds no algorithms, so that the judge in `conformance/` can share it with
//! the defendant.
//!
//! ```
//! use wayside_specs::{limits, Role};
//! assert!(Role::Operator > Role::Member);
//! assert_eq!(limits::EVENT_BYTES, 65_535);
//! ```

mod did;
pub mod limits;
mod role;

pub use did::{Did, NoDid};
pub use role::{Role, UnknownRole};
