//! The real-node backend: programs compiled tables into a Linux kernel
