import { Queue, Worker } from "bullmq";

/** What a job carries: as much as our leaf's prompt. */
const DATA = { prompt: "say hi" };

/** The baseline: BullMQ with no-op jobs, which are removed when they are done. */
export class BullQueue {
  readonly #connection: { host: string; port: number };
  readonly #queue: Queue;

  constructor(port: number) {
    this.#connection = { host: "127.0.0.1", port };
    this.#queue = new Queue("bench", { connection: this.#connection, defaultJobOptions: { removeOnComplete: true } });
  }

  /** Jobs per second, each added, processed and removed, `inFlight` of them at any time. */
  async perSecond(inFlight: number, jobs: number): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const worker = await this.#worker(inFlight, () => undefined);
    let [added, left] = [0, jobs];
    const next = (): void => {
      if (added++ < jobs) this.#queue.add("job", DATA).catch(reject);
    };
    worker.on("completed", () => {
      if (--left === 0) resolve();
      next();
    });
    const started = performance.now();
    for (let i = 0; i < inFlight; i++) next();
    await promise;
    const rate = jobs / ((performance.now() - started) / 1000);
    await worker.close();
    return rate;
  }

  /** Milliseconds of adding a job, and from there to its processor's first line, of each of `jobs`, with a worker that waits. */
  async delays(jobs: number): Promise<{ add: number[]; start: number[] }> {
    let begun = Promise.withResolvers<number>();
    const done = { add: [] as number[], start: [] as number[] };
    const worker = await this.#worker(1, () => begun.resolve(performance.now()));
    for (let i = 0; i < jobs; i++) {
      const completed = new Promise<void>((resolve) => worker.once("completed", () => resolve()));
      const started = performance.now();
      await this.#queue.add("job", DATA);
      done.add.push(performance.now() - started);
      done.start.push((await begun.promise) - started);
      await completed;
      begun = Promise.withResolvers<number>();
    }
    await worker.close();
    return done;
  }

  async close(): Promise<void> {
    await this.#queue.close();
  }

  async #worker(concurrency: number, work: () => void): Promise<Worker> {
    const worker = new Worker("bench", async () => work(), { connection: this.#connection, concurrency });
    worker.on("error", () => undefined);
    await worker.waitUntilReady();
    return worker;
  }
}
