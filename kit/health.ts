import { Code, type ConnectRouter } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@serverless-harness/proto/health";
import { HarnessError } from "./errors.ts";

/** The state that a server's health probes see. */
export class HealthState {
  readonly #services: ReadonlySet<string>;
  #status: Status = Status.SERVING;
  #wake: Array<() => void> = [];

  /** `services`: the fully qualified names that can be asked for, beside the whole server. */
  constructor(services: readonly string[]) {
    this.#services = new Set(["", ...services]);
  }

  /** The server takes requests. */
  get isServing(): boolean {
    return this.#status === Status.SERVING;
  }

  /** From now on the server takes no more requests. */
  stopServing(): void {
    this.#status = Status.NOT_SERVING;
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Route `grpc.health.v1.Health` to this state. */
  routes(router: ConnectRouter): void {
    router.service(Health, {
      check: ({ service }) => {
        if (!this.#services.has(service)) throw new HarnessError(Code.NotFound, "unknown_service", `no service ${service} here`);
        return { status: this.#status };
      },
      watch: (request, context) => this.#watch(request.service, context.signal),
    });
  }

  async *#watch(service: string, signal: AbortSignal): AsyncGenerator<{ status: Status }> {
    if (!this.#services.has(service)) yield { status: Status.SERVICE_UNKNOWN };
    else yield { status: this.#status };
    while (!signal.aborted && this.#status === Status.SERVING) {
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve);
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      if (!signal.aborted && this.#services.has(service)) yield { status: this.#status };
    }
  }
}
