import type { CommandResult } from "../command.ts";
import type { Kubectl } from "../kubectl.ts";

/** The namespace of the claims' own pods. */
export const NAMESPACE = "cluster-claims";
/** Holds the program of modules/probe alone. */
const IMAGE = "localhost/probe:cluster";
const PORT = 8080;

/** The security context of a pod, and of a container in it, that keep every rule of Pod Security's "restricted". */
export const RESTRICTED = {
  pod: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
  container: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
};

/** Make a namespace that takes no other pods, and wait until it takes pods. `labels`: further ones. */
export async function makeNamespace(kubectl: Kubectl, name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
  const all = { "pod-security.kubernetes.io/enforce": "restricted", ...labels };
  await kubectl.applied({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels: all } });
  // A bare pod is refused until its namespace has a service account.
  await kubectl.run("wait", "--for=create", "serviceaccount/default", `--namespace=${name}`, "--timeout=60s");
}

/** A pod of the claims that keeps every rule of Pod Security's "restricted". */
export function probePod(name: string, labels: Readonly<Record<string, string>>, args: readonly string[]): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: NAMESPACE, labels },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      securityContext: RESTRICTED.pod,
      containers: [
        {
          name: "probe",
          image: IMAGE,
          imagePullPolicy: "IfNotPresent",
          args,
          ports: [{ containerPort: PORT }],
          securityContext: RESTRICTED.container,
        },
      ],
    },
  };
}

/** Make the namespace and its pods: `server` with a service of that name, and `client` and `stranger`, who call it. */
export async function makeWorld(kubectl: Kubectl): Promise<void> {
  await removeWorld(kubectl);
  await makeNamespace(kubectl, NAMESPACE);
  await kubectl.applied(
    probePod("server", { app: "server" }, ["serve", `:${PORT}`]),
    probePod("client", { app: "client" }, ["pause"]),
    probePod("stranger", { app: "stranger" }, ["pause"]),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "server", namespace: NAMESPACE },
      spec: { selector: { app: "server" }, ports: [{ port: 80, targetPort: PORT }] },
    },
  );
  await kubectl.run("wait", "--for=condition=Ready", "pods", "--all", `--namespace=${NAMESPACE}`, "--timeout=60s");
}

/** Remove it with all that is in it, if it is there. */
export async function removeWorld(kubectl: Kubectl): Promise<void> {
  await kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=60s");
}

/** Run the probe in a pod. */
export async function probe(kubectl: Kubectl, pod: string, ...args: readonly string[]): Promise<CommandResult> {
  return await kubectl.attempt("exec", `--namespace=${NAMESPACE}`, pod, "--", "/probe", ...args);
}

/** What a pod gets from the server, or how the kernel or the policies refused it. */
export async function callServer(kubectl: Kubectl, pod: string): Promise<{ readonly reached: boolean; readonly seen: string }> {
  const { code, stdout, stderr } = await probe(kubectl, pod, "get", "http://server/");
  const [reason = ""] = stderr.trim().split("\n");
  return code === 0 ? { reached: true, seen: `${pod} gets ${stdout.trim()}` } : { reached: false, seen: `${pod} is refused: ${reason}` };
}
