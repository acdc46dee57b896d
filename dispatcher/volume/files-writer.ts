import { newId } from "@serverless-harness/kit/ids";
import type { Logger } from "@serverless-harness/kit/log";
import type { Leaf } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { Chore } from "../chore.ts";
import { openQuestions } from "../questions.ts";
import { type EndWords, filesOf } from "./contents.ts";
import type { Volume } from "./volume.ts";

const DUTY = "files";
const DUTY_MS = 10_000;
const LOOK_EVERY_MS = 500;
const STEP = 50;

/** What it stands on. */
export interface FilesWriterOptions {
  readonly store: LeafStore;
  readonly volume: Volume;
  /** In which words the end of a leaf is told. */
  readonly words: (leaf: Leaf) => EndWords;
  /** A dispatcher that was killed leaves the files to others after this time, in milliseconds. Default 10 s. */
  readonly dutyMs?: number;
  readonly log: Logger;
}

/**
 * Writes the files of leaves that are over, or ask a human. One dispatcher of several does it at a time. What has to be written stands in the store until it
 * is, so that another one goes on where this one was killed: a file that is there already is left alone.
 */
export class FilesWriter {
  readonly #options: FilesWriterOptions;
  readonly #holder = newId("writer");
  readonly #chore: Chore;
  /** Leaves whose files could not be written: told once. */
  readonly #failing = new Set<string>();

  constructor(options: FilesWriterOptions) {
    this.#options = options;
    const failed = "files of leaves could not be written: tried again";
    this.#chore = new Chore({ intervalMs: LOOK_EVERY_MS, work: (signal) => this.#work(signal), failed, log: options.log });
  }

  start(): void {
    this.#chore.start();
  }

  /** Begin with nothing more; resolves when the file that is being written is there, and another dispatcher may go on. */
  async stop(): Promise<void> {
    await this.#chore.stop();
    await this.#options.store.leaveDuty(DUTY, this.#holder).catch((error: unknown) => {
      this.#options.log.debug({ err: error }, "the files' duty ends by itself");
    });
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { store, dutyMs = DUTY_MS } = this.#options;
    // Whoever has nothing to do takes no duty.
    if ((await store.filesDue(1)).length === 0) return;
    const seen = new Set<string>();
    for (let found = STEP; found === STEP && !signal.aborted; ) {
      if (!(await store.takeDuty(DUTY, this.#holder, dutyMs))) return;
      const due = await store.filesDue(STEP);
      found = due.length;
      for (const leaf of due) {
        // The line has come round to what was put off.
        if (signal.aborted || seen.has(leaf.leafId)) return;
        seen.add(leaf.leafId);
        await this.#write(leaf);
      }
    }
  }

  async #write(leaf: Leaf): Promise<void> {
    const { store, volume, words, log } = this.#options;
    const { leafId, lastSeq, spec } = leaf;
    try {
      const files = spec?.files === undefined ? [] : filesOf(leaf, spec.files, await openQuestions(store, leaf), words(leaf));
      for (const { path, content } of files) await volume.of(spec?.tenant ?? "").write(path, content);
      await store.filesWritten(leafId, lastSeq);
      this.#failing.delete(leafId);
    } catch (error) {
      if (!this.#failing.has(leafId)) log.warn({ err: error, leaf: leafId }, "a leaf's files could not be written: tried again");
      this.#failing.add(leafId);
      await store.filesPutOff(leafId);
    }
  }
}
