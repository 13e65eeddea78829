//! Generated clusters, an independent oracle, and a DataPlane to hold against it
