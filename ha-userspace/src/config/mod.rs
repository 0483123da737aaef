//! Configuration in two stages: raw (as written) and validated (as run on).

pub mod validated;
