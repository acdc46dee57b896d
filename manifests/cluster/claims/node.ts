import type { Claims } from "../../../scripts/demo/claims.ts";
import type { Kubectl } from "../kubectl.ts";
import { NAMESPACE, probe } from "./world.ts";

/** The node works, and names are found. */
export async function checkNode(kubectl: Kubectl, claims: Claims): Promise<void> {
  await claims.check("every node is ready", async () => {
    const fields =
      "{range .items[*]}{.metadata.name} {.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}";
    const nodes = (await kubectl.run("get", "nodes", "-o", `jsonpath=${fields.replaceAll("'", '"')}`)).trim().split("\n");
    return {
      holds: nodes.length > 0 && nodes.every((node) => node.endsWith(" True")),
      seen: nodes.join(", "),
      measured: { nodes: nodes.length },
    };
  });
  await claims.check("a pod finds a service by its name", async () => {
    const address = await kubectl.run("get", "service", "server", `--namespace=${NAMESPACE}`, "-o", "jsonpath={.spec.clusterIP}");
    const { stdout, stderr } = await probe(kubectl, "client", "lookup", `server.${NAMESPACE}.svc.cluster.local`);
    return {
      holds: stdout.trim() === JSON.stringify([address]),
      seen: `the service has ${address}, the pod finds ${stdout.trim() || stderr.trim()}`,
      measured: {},
    };
  });
}
