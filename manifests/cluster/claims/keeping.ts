import { type Claims, time } from "../../../scripts/demo/claims.ts";
import { type Cluster, until } from "../cluster.ts";
import type { Kubectl } from "../kubectl.ts";
import { callServer, NAMESPACE, probe, probePod } from "./world.ts";

/** What has to outlive a pod does, and so does a node whose programs are killed. */
export async function checkVolumes(kubectl: Kubectl, claims: Claims): Promise<void> {
  await claims.check("a volume is made when it is claimed, and the next pod finds what the last one wrote", async () => {
    const claim = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "16Mi" } } };
    await kubectl.applied({
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "kept", namespace: NAMESPACE },
      spec: claim,
    });
    const seen: string[] = [];
    for (const name of ["writer", "reader"]) {
      await kubectl.applied(withVolume(probePod(name, { app: name }, ["pause"]) as Pod));
      await kubectl.run("wait", "--for=condition=Ready", `pod/${name}`, `--namespace=${NAMESPACE}`, "--timeout=60s");
      const { stdout, stderr } = await probe(kubectl, name, "keep", "/kept/file");
      seen.push(stdout.trim() || stderr.trim());
      await kubectl.run("delete", "pod", name, `--namespace=${NAMESPACE}`, "--timeout=60s");
    }
    return { holds: seen.join() === "writer,writer", seen: `the writer wrote "${seen[0]}", the reader found "${seen[1]}"`, measured: {} };
  });
}

/** Only for a cluster of ours: kills programs of its node, each of which is started again, while the pods go on. */
export async function checkRestarts(cluster: Cluster, kubectl: Kubectl, claims: Claims): Promise<void> {
  for (const name of ["netpol", "kubelet", "apiserver"]) {
    await claims.check(`a killed ${name} is started again, and the pods never stopped`, async () => {
      const starts = await startsOf(kubectl);
      const killedAtMs = Date.now();
      const before = cluster.look().components?.[name]?.restarts ?? 0;
      await cluster.kill(name);
      await until(`${name} to start again`, 30, () => {
        const now = cluster.look().components?.[name];
        return Promise.resolve(now !== undefined && now.restarts > before && now.pid !== undefined ? true : undefined);
      });
      await until("the client to reach the server", 60, async () => ((await callServer(kubectl, "client")).reached ? true : undefined));
      const tookMs = Date.now() - killedAtMs;
      const now = await startsOf(kubectl);
      return { holds: now === starts, seen: `all works again after ${time(tookMs)}; pods: ${now}`, measured: { tookMs } };
    });
  }
}

/** Each pod of the claims with the time that its container started. */
async function startsOf(kubectl: Kubectl): Promise<string> {
  const fields = '{range .items[*]}{.metadata.name} {.status.containerStatuses[0].state.running.startedAt}{"; "}{end}';
  return await kubectl.run("get", "pods", `--namespace=${NAMESPACE}`, "-o", `jsonpath=${fields}`);
}

interface Pod {
  readonly spec: { readonly containers: readonly object[] };
}

function withVolume(pod: Pod): object {
  const containers = pod.spec.containers.map((container) => ({ ...container, volumeMounts: [{ name: "kept", mountPath: "/kept" }] }));
  return { ...pod, spec: { ...pod.spec, containers, volumes: [{ name: "kept", persistentVolumeClaim: { claimName: "kept" } }] } };
}
