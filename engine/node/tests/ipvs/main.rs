//! The sink of mode ipvs before a machine that is not there: tools that do on typed tables what the command lines say.
//!
//! **Why.** Few kernels that tests run on have IPVS, and none fails when it is told to. What the tools take and say is that
//! of ipvsadm 1.31, ipset 7.17, iproute2 6.1 and iptables 1.8.9.

mod by_hand;
mod cluster;
mod histories;
mod kernel;
mod machine;
mod restore;
