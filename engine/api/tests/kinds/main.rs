//! What each kind is completed with, what is refused in it and in which words, and what is warned about.
//!
//! The texts are those of Kubernetes 1.36; the recordings in `recorded` hold most of a Service's.

mod endpoints;
mod metadata;
mod network;
mod nodes;
mod pods;
mod pods_update;
mod services;
mod support;
mod workloads;
