import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { CoreV1Api, DiscoveryV1Api, KubeConfig, type V1Endpoint } from "@kubernetes/client-node";
import { expect, onTestFinished, test, vi } from "vitest";
import { KubernetesSandboxes } from "../../pool/kubernetes-sandboxes.ts";

const SOON = { timeout: 60_000, interval: 50 };
const SERVICE = "sandbox";

/** The cluster that `npm run cluster -- test` runs these tests with. */
function cluster(): KubeConfig {
  if (process.env["KUBECONFIG"] === undefined)
    throw new Error("KUBECONFIG is not set: run `npm run cluster -- test`, or set it to a cluster that may be used for tests");
  const config = new KubeConfig();
  config.loadFromDefault();
  return config;
}

/** The same cluster, reached or entered otherwise. */
function changed(config: KubeConfig, { server, user }: { server?: string; user?: string }): KubeConfig {
  const own = config.getCurrentCluster();
  const me = config.getCurrentUser();
  if (own === null || me === null) throw new Error("KUBECONFIG has no current context");
  const other = new KubeConfig();
  other.loadFromClusterAndUser({ ...own, server: server ?? own.server }, { ...me, ...(user !== undefined && { impersonateUser: user }) });
  return other;
}

/** A namespace of the test's own, and the endpoints of a service there. */
async function service() {
  const config = cluster();
  const namespace = `leaf-test-${randomUUID().slice(0, 8)}`;
  const core = config.makeApiClient(CoreV1Api);
  await core.createNamespace({ body: { metadata: { name: namespace } } });
  onTestFinished(async () => void (await core.deleteNamespace({ name: namespace })));
  const api = config.makeApiClient(DiscoveryV1Api);
  const slice = (name: string, endpoints: V1Endpoint[], of = SERVICE) => ({
    namespace,
    name,
    body: {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name, labels: { "kubernetes.io/service-name": of } },
      addressType: "IPv4",
      ports: [{ name: "rpc", port: 7434 }],
      endpoints,
    },
  });
  return {
    config,
    add: async (...args: Parameters<typeof slice>) => void (await api.createNamespacedEndpointSlice(slice(...args))),
    change: async (...args: Parameters<typeof slice>) => void (await api.replaceNamespacedEndpointSlice(slice(...args))),
    remove: async (name: string) => void (await api.deleteNamespacedEndpointSlice({ namespace, name })),
    follow: (port: number | string, with_ = config) => {
      const sandboxes = new KubernetesSandboxes({ namespace, service: SERVICE, port, tls: true }, with_);
      onTestFinished(() => sandboxes.close());
      return { sandboxes, found: () => sandboxes.found().map(({ name, address }) => [name, address.replace(namespace, "NAMESPACE")]) };
    },
  };
}

/** An endpoint as one of a StatefulSet's pod. */
function pod(number: number): V1Endpoint {
  const name = `sandbox-${number}`;
  return { addresses: [`10.0.0.${number + 1}`], hostname: name, targetRef: { kind: "Pod", name } };
}

/** Where `pod` is called. */
function at(number: number): string[] {
  return [`sandbox-${number}`, `https://sandbox-${number}.sandbox.NAMESPACE.svc:7434`];
}

test("the pods of a service are found, come and go, each once, and those of another service are not", async () => {
  const { add, change, remove, follow } = await service();
  await add("first", [pod(0)]);
  await add("foreign", [pod(9)], "other");
  const { sandboxes, found } = follow(7434);
  await sandboxes.look();
  expect(found()).toEqual([at(0)]);
  await add("second", [pod(1), pod(0)]);
  await vi.waitFor(() => expect(found()).toEqual([at(0), at(1)]), SOON);
  await change("second", [pod(2)]);
  await vi.waitFor(() => expect(found()).toEqual([at(0), at(2)]), SOON);
  await remove("first");
  await vi.waitFor(() => expect(found()).toEqual([at(2)]), SOON);
  await sandboxes.look();
});

test("a port may be named; a pod without a name of its own is called at its address; one that is not ready is found too", async () => {
  const { add, follow } = await service();
  const targetRef = { kind: "Pod", name: "hands-6d4cf" };
  await add("first", [{ addresses: ["10.0.0.7"], targetRef, conditions: { ready: false } }, { addresses: ["10.0.0.8"] }]);
  const { sandboxes, found } = follow("rpc");
  await sandboxes.look();
  expect(found()).toEqual([["hands-6d4cf", "https://10.0.0.7:7434"]]);
  const nowhere = follow("http");
  await nowhere.sandboxes.look();
  expect(nowhere.found()).toEqual([]);
});

test("an account that may not list endpoints is told what it needs", async () => {
  const { config, follow } = await service();
  const { sandboxes, found } = follow(7434, changed(config, { user: "system:serviceaccount:default:nobody" }));
  await expect(sandboxes.look()).rejects.toThrow(/may not list and watch endpointslices in the namespace leaf-test-.*: give it a Role/);
  expect(found()).toEqual([]);
});

test("while the API server is away what was found goes on, and afterwards all that changed meanwhile is known", async () => {
  const { config, add, remove, follow } = await service();
  const road = await roadTo(config);
  await add("first", [pod(0)]);
  const { sandboxes, found } = follow(7434, changed(config, { server: road.server }));
  await sandboxes.look();
  expect(found()).toEqual([at(0)]);
  await road.close();
  await vi.waitFor(() => expect(sandboxes.look()).rejects.toThrow(/can't be followed/), SOON);
  await add("second", [pod(1)]);
  await remove("first");
  expect(found()).toEqual([at(0)]);
  await road.open();
  await vi.waitFor(() => expect(found()).toEqual([at(1)]), SOON);
  await sandboxes.look();
});

/** A way to the API server that can be closed. */
async function roadTo(config: KubeConfig) {
  const { hostname, port } = new URL(config.getCurrentCluster()?.server ?? "");
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined).once("close", () => [near, far].forEach((each) => void each.destroy()));
    }
  });
  const open = async (at: number): Promise<number> => {
    server.listen(at, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  };
  const own = await open(0);
  const close = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  onTestFinished(() => void server.close());
  return { server: `https://${hostname}:${own}`, close, open: () => open(own) };
}
