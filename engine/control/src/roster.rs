//! Which controllers a cluster has.

use std::time::Duration;

use controllers::{
    Controller, DaemonSetController, DeploymentController, EndpointSliceController,
    EndpointSliceMirroringController, EndpointsController, GarbageCollector, Kubelet,
    KubeletConfig, LoadBalancerController, NamespaceController, NodeLifecycleController,
    ReplicaSetController, Scheduler, ServiceCidrController, StatefulSetController,
};

use crate::ClusterConfig;

/// Every controller, in the order in which they run at one instant.
pub(crate) fn controllers(config: &ClusterConfig) -> Vec<Box<dyn Controller>> {
    let nodes = config.nodes.iter().map(|node| {
        (
            node.name.clone(),
            node.addresses.clone(),
            node.pod_cidrs.clone(),
        )
    });
    let kubelet = KubeletConfig {
        pod_start: config.timing.pod_start,
        nodes: nodes.collect(),
    };
    vec![
        Box::new(Scheduler::new()),
        Box::new(Kubelet::new(kubelet)),
        Box::new(EndpointSliceController::new(
            config.timing.endpoint_slice_batch,
            config.seed,
        )),
        Box::new(EndpointsController::new(Duration::ZERO)),
        Box::new(EndpointSliceMirroringController::new(config.seed)),
        Box::new(GarbageCollector::new()),
        Box::new(NamespaceController::new()),
        Box::new(ServiceCidrController::new()),
        Box::new(NodeLifecycleController::new(config.timing.node_grace)),
        Box::new(DeploymentController::new()),
        Box::new(ReplicaSetController::new()),
        Box::new(StatefulSetController::new()),
        Box::new(DaemonSetController::new(config.seed)),
        Box::new(LoadBalancerController::new(
            config.load_balancer_pool.clone(),
        )),
    ]
}
