//! Control groups: naming, creation, limits, freezing, statistics and removal on v1, hybrid and v2.
#![forbid(unsafe_code)]
