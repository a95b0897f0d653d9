//! What makes a container real: the [`Backend`] trait, its requests and replies.
#![forbid(unsafe_code)]
