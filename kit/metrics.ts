import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { type CollectFunction, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { codeName, toConnectError } from "./errors.ts";

/** Upper bounds in seconds: a file call takes some 0.3 ms, a command 3 ms, a turn minutes. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600];

const OTHER = "other";

/**
 * A service's metrics in the text format of Prometheus. Labels take few values that are known beforehand: never a workspace or a leaf, and
 * a tenant only as far as {@link countBy} bounds it.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #calls: Histogram<"service" | "method" | "code">;

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    this.#calls = new Histogram({
      name: "rpc_duration_seconds",
      help: "RPCs by service, method and gRPC code: their count, and how long they took. A stream lasts until its last message.",
      labelNames: ["service", "method", "code"],
      buckets: BUCKETS,
      registers: [this.#registry],
    });
  }

  /** The content type of {@link text}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics as they are. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** A value that is asked for at each scrape; NaN if `read` throws. */
  gauge(name: string, help: string, read: () => number | Promise<number>): void {
    const collect: CollectFunction<Gauge> = async function () {
      this.set(await attempt(read, Number.NaN));
    };
    new Gauge({ name, help, registers: [this.#registry], collect });
  }

  /** Values that are asked for at each scrape, by the values of a label; none if `read` throws. */
  gauges(name: string, help: string, label: string, read: () => Promise<Readonly<Record<string, number>>>): void {
    const collect: CollectFunction<Gauge> = async function () {
      this.reset();
      for (const [value, amount] of Object.entries(await attempt(read, {}))) this.set({ [label]: value }, amount);
    };
    new Gauge({ name, help, labelNames: [label], registers: [this.#registry], collect });
  }

  /** A count that only grows. `label`: its name, and the values that it can have, which are all there from the start. */
  counter<Value extends string>(
    name: string,
    help: string,
    label?: { readonly name: string; readonly values: readonly Value[] },
  ): Count<Value> {
    const labelNames = label === undefined ? [] : [label.name];
    const counter = new Counter({ name, help, labelNames, registers: [this.#registry] });
    for (const value of label?.values ?? []) counter.inc({ [label?.name ?? ""]: value }, 0);
    return {
      add: (amount, value) =>
        label === undefined || value === undefined ? counter.inc(amount) : counter.inc({ [label.name]: value }, amount),
    };
  }

  /** A count that only grows and that something else keeps: it is asked for at each scrape. Nothing is told if `read` throws. */
  total(name: string, help: string, read: () => number): void {
    const collect: CollectFunction<Counter> = async function () {
      const value = await attempt(read, Number.NaN);
      if (Number.isNaN(value)) return;
      this.reset();
      this.inc(value);
    };
    new Counter({ name, help, registers: [this.#registry], collect });
  }

  /** A count by a label whose values clients make up: the first `most` of them have a line each, all others share `other`. */
  countBy(name: string, help: string, label: string, most: number): (value: string) => void {
    const counter = new Counter({ name, help, labelNames: [label], registers: [this.#registry] });
    const known = new Set<string>();
    return (value) => {
      if (known.size < most) known.add(value);
      counter.inc({ [label]: known.has(value) ? value : OTHER });
    };
  }

  /** How long something takes, in seconds. */
  duration(name: string, help: string): (seconds: number) => void {
    const histogram = new Histogram({ name, help, buckets: BUCKETS, registers: [this.#registry] });
    return (seconds) => histogram.observe(seconds);
  }

  /** Counts and times every RPC, those that are refused too. Belongs in front of all other interceptors. */
  interceptor(): Interceptor {
    return (next) => async (request) => {
      const end = this.#calls.startTimer({ service: request.service.typeName, method: request.method.name });
      const fail = (error: unknown): void => void end({ code: codeName(toConnectError(error).code) });
      try {
        const response = await next(request);
        const succeed = (): void => void end({ code: request.signal.aborted ? "canceled" : "ok" });
        if (response.stream) return { ...response, message: timed(response.message, succeed, fail) };
        end({ code: "ok" });
        return response;
      } catch (error) {
        fail(error);
        throw error;
      }
    };
  }
}

/** One value that can't be read must not cost all the others. */
async function attempt<T>(read: () => T | Promise<T>, fallback: T): Promise<T> {
  try {
    return await read();
  } catch {
    return fallback;
  }
}

/** A count of {@link Metrics.counter}. */
export interface Count<Value extends string> {
  add(amount: number, value?: Value): void;
}

/** Pass a stream on and tell how it ended. A client that leaves ends it without a word: that counts as cancelled. */
async function* timed<T>(stream: AsyncIterable<T>, succeed: () => void, fail: (error: unknown) => void): AsyncGenerator<T> {
  let tell = (): void => fail(new ConnectError("the client went away", Code.Canceled));
  try {
    yield* stream;
    tell = succeed;
  } catch (error) {
    tell = () => fail(error);
    throw error;
  } finally {
    tell();
  }
}
