//! Running a node: what it measures, its health, its certificates.

pub mod certificates;
pub mod descriptors;
pub mod health;
pub mod memory;
pub mod metrics;
