//! Running a node: what it measures, its certificates.

pub mod certificates;
pub mod descriptors;
pub mod metrics;
