import { API_PORT, DNS_ADDRESS, NODE_ADDRESS, NODE_NAME, POD_NETWORK, POLICY_QUEUE, SERVICE_NETWORK } from "./network.ts";
import type { Programs } from "./programs.ts";

/** The state directory as it is called inside the namespaces, wherever it is outside. */
export const INSIDE = "/run/cluster";
const PKI = `${INSIDE}/pki`;
const CONTAINERD_SOCKET = "/run/containerd/containerd.sock";
const ETCD = "http://127.0.0.1:2379";

/** A program of the node. */
export interface Component {
  readonly name: string;
  readonly command: readonly string[];
  /** It asks the API server for its work, so it is started after that answers. */
  readonly needsApi: boolean;
}

/** The programs of the node, in the order that they are started in. */
export function components(programs: Programs): Component[] {
  const kubernetes = (name: string, ...options: readonly string[]): string[] => [`${programs.kubernetes}/${name}`, ...options];
  const as = (name: string): string => `${PKI}/${name}.kubeconfig`;
  return [
    { name: "containerd", needsApi: false, command: ["containerd", "--config", `${INSIDE}/containerd.toml`] },
    { name: "etcd", needsApi: false, command: kubernetes("etcd", ...etcd()) },
    { name: "apiserver", needsApi: false, command: kubernetes("kube-apiserver", ...apiserver()) },
    {
      name: "controller-manager",
      needsApi: true,
      command: kubernetes(
        "kube-controller-manager",
        ...["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"].map(
          (option) => `--${option}=${as("controller-manager")}`,
        ),
        `--root-ca-file=${PKI}/ca.crt`,
        `--cluster-signing-cert-file=${PKI}/ca.crt`,
        `--cluster-signing-key-file=${PKI}/ca.key`,
        `--service-account-private-key-file=${PKI}/service-accounts.key`,
        "--use-service-account-credentials",
        "--allocate-node-cidrs",
        `--cluster-cidr=${POD_NETWORK}`,
        "--leader-elect=false",
      ),
    },
    { name: "scheduler", needsApi: true, command: kubernetes("kube-scheduler", `--kubeconfig=${as("scheduler")}`, "--leader-elect=false") },
    {
      name: "kubelet",
      needsApi: true,
      command: kubernetes(
        "kubelet",
        `--config=${INSIDE}/kubelet.json`,
        `--kubeconfig=${as("kubelet")}`,
        `--hostname-override=${NODE_NAME}`,
        `--node-ip=${NODE_ADDRESS}`,
      ),
    },
    {
      name: "kube-proxy",
      needsApi: true,
      command: kubernetes(
        "kube-proxy",
        `--kubeconfig=${as("kube-proxy")}`,
        `--hostname-override=${NODE_NAME}`,
        // The kernel here has no IPVS.
        "--proxy-mode=iptables",
        `--cluster-cidr=${POD_NETWORK}`,
        // 0 leaves the kernel's limits of connections as they are: they are the whole machine's.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
      ),
    },
    {
      // While it is down every first packet waits in vain, which looks like a broken DNS: it is started again like every component.
      name: "netpol",
      needsApi: true,
      command: [`${programs.netpol}/netpol`, "-kubeconfig", as("admin"), "-node", NODE_NAME, "-queue", String(POLICY_QUEUE)],
    },
  ];
}

function etcd(): string[] {
  // What is in it ends with the cluster, so no write waits for the disk.
  const peer = "http://127.0.0.1:2380";
  return [
    `--data-dir=${INSIDE}/etcd`,
    "--unsafe-no-fsync",
    ...[`--listen-client-urls=${ETCD}`, `--advertise-client-urls=${ETCD}`, `--listen-peer-urls=${peer}`],
    "--log-level=warn",
  ];
}

function apiserver(): string[] {
  return [
    `--etcd-servers=${ETCD}`,
    `--secure-port=${API_PORT}`,
    // Pods reach it there, through the service "kubernetes".
    `--advertise-address=${NODE_ADDRESS}`,
    `--tls-cert-file=${PKI}/apiserver.crt`,
    `--tls-private-key-file=${PKI}/apiserver.key`,
    `--client-ca-file=${PKI}/ca.crt`,
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    // Pod Security decides who may: each namespace says what it allows.
    "--allow-privileged=true",
    `--service-cluster-ip-range=${SERVICE_NETWORK}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-account-key-file=${PKI}/service-accounts.pub`,
    `--service-account-signing-key-file=${PKI}/service-accounts.key`,
    `--kubelet-certificate-authority=${PKI}/ca.crt`,
    `--kubelet-client-certificate=${PKI}/apiserver-to-kubelet.crt`,
    `--kubelet-client-key=${PKI}/apiserver-to-kubelet.key`,
    "--kubelet-preferred-address-types=InternalIP",
    // For APIs that the API server passes on, as KEDA's metrics are.
    `--requestheader-client-ca-file=${PKI}/ca.crt`,
    "--requestheader-allowed-names=front-proxy",
    "--requestheader-username-headers=X-Remote-User",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    `--proxy-client-cert-file=${PKI}/front-proxy.crt`,
    `--proxy-client-key-file=${PKI}/front-proxy.key`,
    "--profiling=false",
  ];
}

/** The files that the components read, by their name in the state directory. */
export function configurations(): Readonly<Record<string, string>> {
  return { "kubelet.json": JSON.stringify(kubelet(), null, 2), "containerd.toml": CONTAINERD, "cni/10-leaf.conflist": JSON.stringify(CNI) };
}

function kubelet(): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    cgroupDriver: "cgroupfs",
    failCgroupV1: false,
    failSwapOn: false,
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: `${PKI}/ca.crt` } },
    authorization: { mode: "Webhook" },
    tlsCertFile: `${PKI}/kubelet-server.crt`,
    tlsPrivateKeyFile: `${PKI}/kubelet-server.key`,
    clusterDNS: [DNS_ADDRESS],
    clusterDomain: "cluster.local",
    // The machine's own name servers can't be reached from here.
    resolvConf: `${INSIDE}/resolv.conf`,
    // The machine's disk is not the cluster's to tidy up: a full one would have it delete images that nothing can pull again.
    evictionHard: { "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%" },
    imageGCHighThresholdPercent: 100,
    volumePluginDir: `${INSIDE}/volume-plugins`,
  };
}

/** There is no AppArmor to load profiles into, and a child's score for the kernel's killer may not be below its parent's. */
const CONTAINERD = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "${CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:cluster"
disable_apparmor = true
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "${INSIDE}/cni"
`;

/** Each pod gets a pair of devices to the node, which routes between them: so every packet passes the node's rules. */
const CNI = {
  cniVersion: "0.4.0",
  name: "leaf",
  plugins: [
    {
      type: "ptp",
      ipMasq: false,
      ipam: {
        type: "host-local",
        dataDir: "/run/cni-addresses",
        ranges: [[{ subnet: "10.244.0.0/24" }]],
        routes: [{ dst: "0.0.0.0/0" }],
      },
    },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
};
