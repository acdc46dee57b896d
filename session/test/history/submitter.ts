import { setTimeout as delay } from "node:timers/promises";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { LeafStore } from "../../contract/leaf-store.ts";
import { NEVER, specOf, words } from "../../testing/build.ts";
import type { Recorder } from "./recorder.ts";

/** Submits leaves, each once or twice, and follows some of them. */
export class Submitter {
  readonly #store: LeafStore;
  readonly #recorder: Recorder;
  readonly #random: () => number;

  constructor(store: LeafStore, recorder: Recorder, random: () => number) {
    this.#store = store;
    this.#recorder = recorder;
    this.#random = random;
  }

  /** Submit those with the numbers from `first` to `last`; resolves when those that it follows are over as well. */
  async run(first: number, last: number): Promise<void> {
    const followers: Promise<void>[] = [];
    for (let number = first; number <= last; number++) {
      let leafId = await this.#submit(number);
      if (this.#random() < 0.15) await this.#submit(number);
      while (leafId === undefined) leafId = await this.#submit(number);
      if (this.#random() < 0.4) followers.push(this.#follow(leafId));
      await delay(this.#random() * 30);
    }
    await Promise.all(followers);
  }

  async #submit(number: number): Promise<string | undefined> {
    const key = `k${number}`;
    const leaf = { spec: specOf({ sessionId: `s${number % 11}`, prompt: key }), idempotencyKey: key };
    const learned = ({ leaf: { leafId } }: { leaf: { leafId: string } }) => ({ leafId });
    return (await this.#recorder.record("submit", { key }, () => this.#store.submit(leaf), learned))?.leaf.leafId;
  }

  /** Follow a leaf to its end; where the store can't be reached, from where it was. */
  async #follow(leafId: string): Promise<void> {
    const n = this.#recorder.begin("follow", { leafId });
    const texts: string[] = [];
    for (let position = 0n; ; ) {
      try {
        for await (const event of this.#store.follow(leafId, position, NEVER)) {
          position = event.seq;
          texts.push(`${event.seq} ${words([event])[0]}`);
          this.#recorder.write({ n, texts });
        }
        this.#recorder.write({ n, answer: "ok" });
        return;
      } catch (error) {
        if (!(error instanceof HarnessError)) throw error;
      }
    }
  }
}
