/** Names and addresses inside the test cluster's own network namespace. Nothing outside may use them. */

export const NODE_NAME = "leaf-node";
/** On a pair of virtual devices that both end in the namespace: what is sent past it goes nowhere. */
export const NODE_ADDRESS = "172.29.0.10";
export const POD_NETWORK = "10.244.0.0/16";
export const SERVICE_NETWORK = "10.96.0.0/16";
/** The first address of the services' network, which Kubernetes gives its own API. */
export const SERVICE_API_ADDRESS = "10.96.0.1";
export const DNS_ADDRESS = "10.96.0.10";
export const API_PORT = 6443;
/** The netfilter queue of packets that wait for a verdict by network policies. */
export const POLICY_QUEUE = 100;
