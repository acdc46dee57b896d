import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  type FileService,
  WatchChangeKind,
  type WatchEndReason,
  WatchMode,
  type WatchRequestSchema,
  type WatchResponse,
} from "@serverless-harness/proto/hands";
import { onTestFinished } from "vitest";
import { WORKSPACE } from "./service.ts";

const LETTERS: Readonly<Record<WatchChangeKind, string>> = {
  [WatchChangeKind.UNSPECIFIED]: "?",
  [WatchChangeKind.CREATED]: "+",
  [WatchChangeKind.MODIFIED]: "~",
  [WatchChangeKind.REMOVED]: "-",
};

/** A client's watch, with all that it was told. */
export class Watching {
  /** As `+path`, `~path`, `-path`; `overflow`, `notify` or `poll` where it says so. */
  readonly told: string[] = [];
  /** What there is by what was told. */
  readonly paths: Set<string>;
  ended: WatchEndReason | undefined;
  readonly #cut = new AbortController();
  readonly #reading: Promise<void>;
  #error: unknown;
  #isOver = false;
  #isListed = false;
  readonly #list: () => Iterable<string>;
  #wake: () => void = () => undefined;

  /** `list`: what is there; asked at the start, and after an overflow. */
  constructor(stream: (signal: AbortSignal) => AsyncIterable<WatchResponse>, list: () => Iterable<string>) {
    this.paths = new Set(list());
    this.#list = list;
    this.#reading = this.#read(stream(this.#cut.signal));
  }

  /** Until what was told is so. Throws where the watch ends before. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      if (this.#isOver) throw this.#error ?? new Error(`the watch ended after ${this.told.join(" ")}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Until the watch has ended by itself; throws its error. */
  async end(): Promise<WatchEndReason | undefined> {
    await this.#reading;
    if (this.#error !== undefined) throw this.#error;
    return this.ended;
  }

  /** Leave. */
  async leave(): Promise<void> {
    this.#cut.abort();
    await this.#reading;
  }

  async #read(stream: AsyncIterable<WatchResponse>): Promise<void> {
    try {
      for await (const response of stream) {
        this.#take(response);
        this.#wake();
      }
    } catch (error) {
      if (!this.#cut.signal.aborted) this.#error = error;
    }
    this.#isOver = true;
    this.#wake();
  }

  #take({ event }: WatchResponse): void {
    if (event.case === "overflow") this.#relist();
    if (event.case === "started") this.told.push(event.value.mode === WatchMode.NOTIFY ? "notify" : "poll");
    if (event.case === "overflow") this.told.push("overflow");
    if (event.case === "ended") this.ended = event.value.reason;
    for (const { kind, path } of event.case === "changes" ? event.value.changes : []) {
      this.told.push(`${LETTERS[kind]}${path}`);
      if (!this.#isListed) this.#check(kind, path);
      if (kind === WatchChangeKind.CREATED) this.paths.add(path);
      if (kind === WatchChangeKind.REMOVED) this.paths.delete(path);
    }
  }

  /** Changes behind an overflow may be in the list already. */
  #relist(): void {
    this.#isListed = true;
    this.paths.clear();
    for (const path of this.#list()) this.paths.add(path);
  }

  #check(kind: WatchChangeKind, path: string): void {
    if (kind === WatchChangeKind.CREATED && this.paths.has(path)) throw new Error(`${path} was created twice`);
    if (kind !== WatchChangeKind.CREATED && !this.paths.has(path)) throw new Error(`${path} was never created`);
  }
}

/** Watch the workspace, and wait until the watch is established. `there`: what is in it. Left when the test ends. */
export async function startWatching(
  files: Client<typeof FileService>,
  request: MessageInitShape<typeof WatchRequestSchema> = {},
  there: Iterable<string> = [],
): Promise<Watching> {
  const watching = new Watching(
    (signal) => files.watch({ workspace: WORKSPACE, recursive: true, ...request }, { signal }),
    () => there,
  );
  onTestFinished(() => watching.leave());
  await watching.until(() => watching.told.length > 0);
  return watching;
}

/** Every path below a directory, sorted. */
export function treeOf(path: string, below = ""): string[] {
  return readdirSync(join(path, below), { withFileTypes: true })
    .flatMap((entry) => {
      const name = join(below, entry.name);
      return entry.isDirectory() ? [name, ...treeOf(path, name)] : [name];
    })
    .sort();
}

/** What the watch was told makes up exactly what is there. */
export function isInStep(watching: Watching, path: string): boolean {
  return JSON.stringify([...watching.paths].sort()) === JSON.stringify(treeOf(path));
}
