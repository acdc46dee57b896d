import { setTimeout as wait } from "node:timers/promises";
import { DiscoveryV1Api, KubeConfig, type V1EndpointSlice, Watch } from "@kubernetes/client-node";
import { inTime } from "@serverless-harness/kit/in-time";
import { isName } from "@serverless-harness/kit/validate";
import type { KubernetesService } from "./kubernetes-service.ts";
import type { FoundSandbox, SandboxSource } from "./source.ts";

/** How long to wait after a list or a watch that failed, in milliseconds. */
const RETRY_MS = 2000;
/** How long a list may take, in milliseconds; the first look waits for no more than this. */
const LIST_MS = 10_000;
/** After so many seconds the API server ends a watch, and the next list makes good whatever it may have missed. */
const WATCH_SECONDS = 25;
const SLICES_OF = "kubernetes.io/service-name";

/**
 * The pods of a Kubernetes service, by its EndpointSlices: listed, then watched. Each is named by its pod. One that is not ready or about to
 * end is found all the same: the pool asks each sandbox itself how it is.
 *
 * The account of the cluster's configuration (`KUBECONFIG`, or that of the pod) needs `list` and `watch` of `endpointslices`.
 */
export class KubernetesSandboxes implements SandboxSource {
  readonly #service: KubernetesService;
  readonly #config: KubeConfig;
  readonly #ended = new AbortController();
  #slices = new Map<string, V1EndpointSlice>();
  #problem: Error | undefined;
  #isFollowed = false;

  /** `config`: default: what `KUBECONFIG` or the pod's account says. */
  constructor(service: KubernetesService, config = defaultConfig()) {
    this.#service = service;
    this.#config = config;
  }

  found(): readonly FoundSandbox[] {
    const found = new Map<string, FoundSandbox>();
    // An endpoint may be in two slices for a moment.
    for (const sandbox of [...this.#slices.values()].flatMap((slice) => this.#sandboxesOf(slice)))
      if (!found.has(sandbox.name)) found.set(sandbox.name, sandbox);
    return [...found.values()];
  }

  /** The first look waits for a list. */
  async look(): Promise<void> {
    if (!this.#isFollowed) {
      this.#isFollowed = true;
      const listed = Promise.withResolvers<void>();
      void this.#follow(listed.resolve);
      await listed.promise;
    }
    if (this.#problem !== undefined) throw this.#problem;
  }

  /** Follow the service no more. */
  close(): void {
    this.#ended.abort();
  }

  /** Never rejects. */
  async #follow(looked: () => void): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        const version = await this.#list();
        this.#problem = undefined;
        looked();
        await this.#watch(version);
      } catch (error) {
        this.#problem = this.#explain(error);
        looked();
        await wait(RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** The version that a watch goes on from. */
  async #list(): Promise<string> {
    const { namespace, service } = this.#service;
    const api = this.#config.makeApiClient(DiscoveryV1Api);
    const { items, metadata } = await inTime(
      () => api.listNamespacedEndpointSlice({ namespace, labelSelector: `${SLICES_OF}=${service}` }),
      LIST_MS,
      () => new Error(`the API server did not answer within ${LIST_MS / 1000} s`),
    );
    this.#slices = new Map(items.map((slice) => [slice.metadata?.name ?? "", slice]));
    return metadata?.resourceVersion ?? "";
  }

  /** Until the API server, the network or {@link close} ends it. Rejects if it could not begin, or if there is too much to make good. */
  async #watch(resourceVersion: string): Promise<void> {
    const { namespace, service } = this.#service;
    const { signal } = this.#ended;
    const ended = Promise.withResolvers<void>();
    let isOver = false;
    const take = (type: string, slice: V1EndpointSlice): void => {
      const name = slice.metadata?.name ?? "";
      // A newer list may be there already.
      if (isOver) return;
      if (type === "ADDED" || type === "MODIFIED") this.#slices.set(name, slice);
      if (type === "DELETED") this.#slices.delete(name);
      // As "too old resource version": a new list is due.
      if (type === "ERROR") ended.resolve();
    };
    // It hears of the connection only after the first event.
    const watching = new Watch(this.#config).watch(
      `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
      { labelSelector: `${SLICES_OF}=${service}`, resourceVersion, timeoutSeconds: WATCH_SECONDS },
      take,
      (error: unknown) => (error == null ? ended.resolve() : ended.reject(error)),
    );
    watching.catch(ended.reject);
    const leave = (): void => ended.resolve();
    signal.addEventListener("abort", leave);
    try {
      await ended.promise;
    } finally {
      isOver = true;
      signal.removeEventListener("abort", leave);
      void watching.then(
        (controller) => controller.abort(),
        () => undefined,
      );
    }
  }

  #sandboxesOf(slice: V1EndpointSlice): FoundSandbox[] {
    const { namespace, service, port, tls } = this.#service;
    const number = typeof port === "number" ? port : slice.ports?.find(({ name }) => name === port)?.port;
    if (number === undefined) return [];
    const scheme = tls ? "https" : "http";
    return (slice.endpoints ?? []).flatMap(({ addresses, hostname, targetRef }) => {
      const name = targetRef?.name ?? hostname ?? "";
      const [ip = ""] = addresses;
      // Pods of a StatefulSet have names, which certificates can be for.
      const host = hostname !== undefined ? `${hostname}.${service}.${namespace}.svc` : slice.addressType === "IPv6" ? `[${ip}]` : ip;
      return isName(name) && ip !== "" ? [{ name, address: `${scheme}://${host}:${number}`, tenant: "" }] : [];
    });
  }

  #explain(error: unknown): Error {
    const { namespace, service } = this.#service;
    const { code, statusCode } = error as { code?: unknown; statusCode?: unknown };
    const hint =
      (code ?? statusCode) === 403
        ? `the dispatcher's service account may not list and watch endpointslices in the namespace ${namespace}: give it a Role that allows it`
        : error instanceof Error
          ? error.message
          : String(error);
    return new Error(`the endpoints of the service ${namespace}/${service} can't be followed: ${hint}`, { cause: error });
  }
}

function defaultConfig(): KubeConfig {
  const config = new KubeConfig();
  config.loadFromDefault();
  return config;
}
