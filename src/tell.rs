//! What is told, and to whom: the [`log`], and the [`metrics`] for Prometheus.

pub mod log;
pub mod metrics;
pub mod state;
