import { setTimeout as sleep } from "node:timers/promises";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@serverless-harness/proto/health";
import { HarnessError } from "./errors.ts";
import { KEEP_ALIVE_MS } from "./keep-alive.ts";

/** The state that a server's health probes see. */
export class HealthState {
  readonly #services: ReadonlySet<string>;
  readonly #keepAliveMs: number;
  readonly #stopped = new AbortController();

  /**
   * `services`: the fully qualified names that can be asked for, beside the whole server. `keepAliveMs`: how often watchers get the status
   * again if it does not change, as proxies cut a silent stream.
   */
  constructor(services: readonly string[], keepAliveMs: number = KEEP_ALIVE_MS) {
    this.#services = new Set(["", ...services]);
    this.#keepAliveMs = keepAliveMs;
  }

  /** The server takes requests. */
  get isServing(): boolean {
    return !this.#stopped.signal.aborted;
  }

  /** From now on the server takes no more requests. */
  stopServing(): void {
    this.#stopped.abort();
  }

  /** Route `grpc.health.v1.Health` to this state. */
  routes(router: ConnectRouter): void {
    router.service(Health, {
      check: ({ service }) => {
        if (!this.#services.has(service)) throw new HarnessError(Code.NotFound, "unknown_service", `no service ${service} here`);
        return { status: this.#status(service) };
      },
      watch: ({ service }, { signal }) => this.#watch(service, signal),
    });
  }

  /** The status: at once, at each change and every `keepAliveMs`. Ends when the server takes no more requests. */
  async *#watch(service: string, signal: AbortSignal): AsyncGenerator<{ status: Status }> {
    const changed = AbortSignal.any([signal, this.#stopped.signal]);
    while (!signal.aborted) {
      const { isServing } = this;
      yield { status: this.#status(service) };
      if (!isServing) return;
      // Only a change, or a client that leaves, ends this early.
      await sleep(this.#keepAliveMs, undefined, { signal: changed, ref: false }).catch(() => undefined);
    }
  }

  #status(service: string): Status {
    if (!this.#services.has(service)) return Status.SERVICE_UNKNOWN;
    return this.isServing ? Status.SERVING : Status.NOT_SERVING;
  }
}
