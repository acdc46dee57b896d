import { parentPort, Worker } from "node:worker_threads";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "./errors.ts";

/** Functions that a side thread has, by name. What they take and return is copied. */
export type Tasks = Readonly<Record<string, (...args: never[]) => unknown>>;

interface Request {
  readonly task: string;
  readonly args: readonly unknown[];
}

/** What the thread says: that it listens, what a task returned, or what it threw. */
type Answer = { readonly ready: true } | { readonly value: unknown } | { readonly error: string };

/** One task, from when it is asked for to its end. */
interface Job extends Request {
  readonly resolve: (result: { readonly value: unknown } | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** Longest run of one task, in milliseconds. */
const TIMEOUT_MS = 2000;
/** A thread without work is ended after this long, in milliseconds. */
const IDLE_MS = 30_000;
/** Tasks that wait at once. */
const MAX_WAITING = 200;
/** Memory of the thread, in MiB: a task that needs more ends like one that takes too long. */
const LIMITS = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 };

/**
 * A thread for work on what a caller wrote, as a schema or a regular expression, which may take for ever: nothing else in JavaScript can stop it. It is
 * started with the first task, does one after the other, is ended if one takes too long, and goes when there is nothing to do.
 */
export class SideThread<T extends Tasks> {
  readonly #script: URL;
  readonly #waiting: Job[] = [];
  #job: Job | undefined;
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `script` calls {@link serveTasks}. */
  constructor(script: URL) {
    this.#script = script;
  }

  /**
   * What the task returns; `undefined` if it does not come to its end within 2 seconds, or within the thread's memory. RESOURCE_EXHAUSTED `busy` if
   * too many tasks wait. Throws what the task throws.
   */
  run<K extends keyof T & string>(task: K, ...args: Parameters<T[K]>): Promise<{ readonly value: ReturnType<T[K]> } | undefined> {
    if (this.#waiting.length >= MAX_WAITING) {
      const message = `more than ${MAX_WAITING} schemas and patterns wait to be checked: try again in a while`;
      return Promise.reject(new HarnessError(Code.ResourceExhausted, "busy", message));
    }
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly value: unknown } | undefined>();
    this.#waiting.push({ task, args, resolve, reject });
    this.#next();
    return promise as Promise<{ readonly value: ReturnType<T[K]> } | undefined>;
  }

  #next(): void {
    if (this.#job !== undefined) return;
    clearTimeout(this.#timer);
    this.#job = this.#waiting.shift();
    if (this.#job === undefined) {
      this.#timer = setTimeout(() => this.#end(), IDLE_MS).unref();
      this.#worker?.unref();
      return;
    }
    if (this.#worker === undefined) this.#start();
    else this.#send();
  }

  #start(): void {
    const worker = new Worker(this.#script, { resourceLimits: LIMITS });
    this.#worker = worker;
    worker.on("message", (answer: Answer) => {
      if (this.#worker !== worker) return;
      if ("ready" in answer) this.#send();
      else this.#settle((job) => ("error" in answer ? job.reject(new Error(answer.error)) : job.resolve(answer)));
    });
    worker.on("error", (error) => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      const outOfMemory = "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY";
      this.#settle((job) => (outOfMemory ? job.resolve(undefined) : job.reject(error)));
    });
  }

  #send(): void {
    if (this.#job === undefined) return;
    const { task, args } = this.#job;
    this.#timer = setTimeout(() => {
      this.#end();
      this.#settle((job) => job.resolve(undefined));
    }, TIMEOUT_MS);
    this.#worker?.ref();
    this.#worker?.postMessage({ task, args } satisfies Request);
  }

  #settle(tell: (job: Job) => void): void {
    clearTimeout(this.#timer);
    const job = this.#job;
    this.#job = undefined;
    if (job !== undefined) tell(job);
    this.#next();
  }

  #end(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    void worker?.terminate();
  }
}

/** In the thread's script: do what is asked. */
export function serveTasks(tasks: Tasks): void {
  const port = parentPort;
  if (port === null) throw new Error("this script is for a side thread");
  port.on("message", async ({ task, args }: Request) => {
    const run = tasks[task] as ((...args: readonly unknown[]) => unknown) | undefined;
    try {
      port.postMessage({ value: await run?.(...args) } satisfies Answer);
    } catch (error) {
      port.postMessage({ error: error instanceof Error ? error.message : String(error) } satisfies Answer);
    }
  });
  port.postMessage({ ready: true } satisfies Answer);
}
