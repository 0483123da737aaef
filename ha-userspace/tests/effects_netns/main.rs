//! The effects on real kernels: addresses, macvlans, link events and adverts in network namespaces. Needs root.

mod addresses;
mod adverts;
mod bench;
mod links;
mod macvlans;
