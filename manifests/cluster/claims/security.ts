import type { Claims } from "../../../scripts/demo/claims.ts";
import type { Kubectl } from "../kubectl.ts";
import { NAMESPACE, probe, probePod } from "./world.ts";

/** What the probe sees of itself. */
interface Look {
  readonly uid: number;
  readonly CapEff: string;
  readonly CapBnd: string;
  readonly NoNewPrivs: string;
  readonly Seccomp: string;
  readonly rootIsReadOnly: boolean;
  readonly hasToken: boolean;
}

const NO_CAPABILITIES = "0".repeat(16);
const FILTERED = "2";

/** Pod Security is enforced, and what it asks for is real inside. */
export async function checkSecurity(kubectl: Kubectl, claims: Claims): Promise<void> {
  await claims.check(
    "a pod under `restricted` runs as non-root, with no capabilities, no way to get any, and filtered system calls",
    async () => {
      const { stdout, stderr } = await probe(kubectl, "client", "look");
      if (stdout === "") throw new Error(stderr);
      const look = JSON.parse(stdout) as Look;
      const bare =
        look.CapEff === NO_CAPABILITIES && look.CapBnd === NO_CAPABILITIES && look.NoNewPrivs === "1" && look.Seccomp === FILTERED;
      return { holds: look.uid !== 0 && bare && look.rootIsReadOnly && !look.hasToken, seen: stdout.trim(), measured: {} };
    },
  );
  await claims.check("a privileged pod is refused there, with the rules that it breaks", async () => {
    const pod = probePod("privileged", {}, ["pause"]) as { spec: { containers: { securityContext: object }[] } };
    for (const container of pod.spec.containers) container.securityContext = { privileged: true };
    const { code, stderr } = await kubectl.apply(pod);
    const exists = await kubectl.succeeds("get", "pod", "privileged", `--namespace=${NAMESPACE}`);
    return { holds: code !== 0 && stderr.includes('violates PodSecurity "restricted') && !exists, seen: stderr.trim(), measured: {} };
  });
  await claims.check("an object with a field that the server does not know is refused", async () => {
    const { code, stderr } = await kubectl.apply({ ...probePod("misspelt", {}, ["pause"]), spek: {} });
    return { holds: code !== 0 && stderr.includes('unknown field "spek"'), seen: stderr.trim(), measured: {} };
  });
}
