import { setTimeout } from "node:timers/promises";
import type { Claims, Finding } from "../../../scripts/demo/claims.ts";
import type { Kubectl } from "../kubectl.ts";
import { callServer, NAMESPACE } from "./world.ts";

const DNS_PORTS = [
  { protocol: "UDP", port: 53 },
  { protocol: "UDP", port: 53 },
];

/** Network policies are enforced, in both directions. */
export async function checkNetwork(kubectl: Kubectl, claims: Claims): Promise<void> {
  await claims.check("without a policy every pod reaches every other", async () => await both(kubectl, true, true));
  await claims.check("a policy on what comes in: the allowed pod reaches the server, a stranger does not", async () => {
    const from = [{ podSelector: { matchLabels: { app: "client" } } }];
    await kubectl.applied(
      policy("into-server", { podSelector: { matchLabels: { app: "server" } }, policyTypes: ["Ingress"], ingress: [{ from }] }),
    );
    return await both(kubectl, true, false);
  });
  await claims.check("a policy on what goes out: a pod without an allowed edge reaches nobody, the allowed edge works", async () => {
    await remove(kubectl, "into-server");
    const to = [{ podSelector: { matchLabels: { app: "server" } } }];
    await kubectl.applied(
      policy("nothing-out", { podSelector: {}, policyTypes: ["Egress"] }),
      policy("out-to-dns", { podSelector: {}, policyTypes: ["Egress"], egress: [{ to: [{ namespaceSelector: {} }], ports: DNS_PORTS }] }),
      policy("client-to-server", { podSelector: { matchLabels: { app: "client" } }, policyTypes: ["Egress"], egress: [{ to }] }),
    );
    return await both(kubectl, true, false);
  });
  await claims.check("when the policies are removed, the refused edge works again", async () => {
    await remove(kubectl, "nothing-out", "out-to-dns", "client-to-server");
    return await both(kubectl, true, true);
  });
}

function policy(name: string, spec: object): object {
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name, namespace: NAMESPACE }, spec };
}

async function remove(kubectl: Kubectl, ...names: readonly string[]): Promise<void> {
  await kubectl.run("delete", "networkpolicy", `--namespace=${NAMESPACE}`, ...names);
}

/** Try both edges until they are as they should, which takes a policy a moment, at most this often. */
const TRIES = 10;

async function both(kubectl: Kubectl, clientReaches: boolean, strangerReaches: boolean): Promise<Finding> {
  for (let tries = 1; ; tries++) {
    const [client, stranger] = await Promise.all([callServer(kubectl, "client"), callServer(kubectl, "stranger")]);
    const holds = client.reached === clientReaches && stranger.reached === strangerReaches;
    if (holds || tries === TRIES) return { holds, seen: `${client.seen}; ${stranger.seen}`, measured: { tries } };
    await setTimeout(300);
  }
}
