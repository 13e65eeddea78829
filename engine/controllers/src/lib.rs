//! EndpointSlice controller and simulated kubelet as pure reconcilers
