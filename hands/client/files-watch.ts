import { setTimeout as sleep } from "node:timers/promises";
import { type Client, Code } from "@connectrpc/connect";
import { fromConnectError, HarnessError } from "@serverless-harness/kit/errors";
import {
  type FileKind,
  type FileService,
  WatchChangeKind,
  WatchEndReason,
  WatchMode,
  type WatchResponse,
} from "@serverless-harness/proto/hands";
import { backoffMs, clientClosed, mayComeBack, sandboxUnavailable } from "./retry.ts";

/** What to watch; see `harness.hands.v1.WatchRequest` for units and defaults. */
export interface WatchOptions {
  readonly recursive?: boolean;
  readonly includeIgnored?: boolean;
  readonly exclude?: readonly string[];
  readonly pollIntervalMs?: number;
  /** Ends the watch when it is aborted: the iteration is over, without an error. */
  readonly signal?: AbortSignal;
}

/** Watches of one workspace. */
export interface WatchesClient {
  /**
   * Watch what is in a directory. Begins with the iteration; `started` comes first, so list after it. Errors as Watch's, and UNAVAILABLE
   * `sandbox_unavailable` if hands stayed unreachable for the client's patience.
   */
  watch(path: string, options?: WatchOptions): AsyncIterable<WatchUpdate>;
}

/** What a watch tells, in order. Paths are relative to the workspace. */
export type WatchUpdate =
  /** What changes from here on is told. Again if hands has to notice changes in another way, with nothing missed. */
  | { readonly kind: "started"; readonly mode: "notify" | "poll" }
  | { readonly kind: "created" | "modified" | "removed"; readonly path: string; readonly fileKind: FileKind }
  /** Changes before this may not have been told, those after it are: list again. Its reader, or the connection, was too slow or broke. */
  | { readonly kind: "resync"; readonly reason: "overflow" | "reconnected" }
  /** There is nothing more to watch; last. */
  | { readonly kind: "ended"; readonly reason: "directory_gone" | "workspace_deleted" };

/** What a watch needs of the client that it belongs to. */
export interface WatchSource {
  readonly client: Client<typeof FileService>;
  readonly workspace: string;
  /** How long it goes on while hands can't be reached, in milliseconds. */
  readonly patienceMs: number;
  /** How often hands is asked whether it lives while it tells nothing, and how long its answer may take, in milliseconds. */
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** The other end does not answer any more: cut the connection. */
  readonly onDead: () => void;
  /** The client was closed. */
  readonly closed: AbortSignal;
}

const CHANGES: Readonly<Record<WatchChangeKind, "created" | "modified" | "removed" | undefined>> = {
  [WatchChangeKind.UNSPECIFIED]: undefined,
  [WatchChangeKind.CREATED]: "created",
  [WatchChangeKind.MODIFIED]: "modified",
  [WatchChangeKind.REMOVED]: "removed",
};

/** What is told of a directory that went away while hands was not reached. */
const GONE: Readonly<Record<string, "directory_gone" | "workspace_deleted">> = {
  not_found: "directory_gone",
  not_directory: "directory_gone",
  unknown_workspace: "workspace_deleted",
};

/**
 * Watch a directory over any number of streams. If one breaks another is opened, and what changed in between is told by `resync`. Ends
 * when its signal is aborted, or with an `ended` update; throws HarnessErrors.
 */
export async function* watchFiles(source: WatchSource, path: string, options: WatchOptions): AsyncGenerator<WatchUpdate> {
  const { patienceMs, closed } = source;
  const stop = AbortSignal.any([closed, ...(options.signal === undefined ? [] : [options.signal])]);
  let isResuming = false;
  let silentSince = performance.now();
  for (let attempt = 1; !stop.aborted; attempt++) {
    let heard = false;
    try {
      for await (const response of openStream(source, path, options, stop)) {
        if (response.event.case === "started" && !heard && isResuming) yield { kind: "resync", reason: "reconnected" };
        else yield* updatesOf(response);
        if (isFinal(response)) return;
        heard = true;
        isResuming = true;
        attempt = 1;
        silentSince = performance.now();
      }
    } catch (thrown) {
      const error = fromConnectError(thrown);
      if (stop.aborted) break;
      const gone = isResuming ? GONE[error.reason] : undefined;
      if (gone !== undefined) return yield { kind: "ended", reason: gone };
      if (!mayComeBack(error, heard)) throw error;
      if (heard) silentSince = performance.now();
      if (performance.now() - silentSince >= patienceMs) throw sandboxUnavailable(patienceMs, error);
    }
    await sleep(backoffMs(attempt), undefined, { signal: stop }).catch(() => undefined);
  }
  if (closed.aborted) throw clientClosed();
}

/** One stream, that is cut if hands does not answer any more. */
async function* openStream(source: WatchSource, path: string, options: WatchOptions, stop: AbortSignal): AsyncGenerator<WatchResponse> {
  const { client, workspace, pingIntervalMs, pingTimeoutMs } = source;
  const { recursive = false, includeIgnored = false, exclude = [], pollIntervalMs = 0 } = options;
  const dead = new AbortController();
  // An answer of any kind shows that hands lives.
  const ask = (): Promise<unknown> => client.stat({ workspace, path: "." }, { timeoutMs: pingTimeoutMs, signal: stop });
  const timer = setInterval(() => {
    ask().catch((error: unknown) => {
      if (stop.aborted || fromConnectError(error).code !== Code.DeadlineExceeded) return;
      dead.abort();
      source.onDead();
    });
  }, pingIntervalMs).unref();
  try {
    const request = { workspace, path, recursive, includeIgnored, exclude: [...exclude], pollIntervalMs };
    for await (const response of client.watch(request, { signal: AbortSignal.any([stop, dead.signal]) })) {
      // One without content says that hands lives.
      if (response.event.case !== undefined) yield response;
    }
  } catch (error) {
    if (!dead.signal.aborted) throw error;
    throw new HarnessError(Code.Unavailable, "unavailable", "hands did not answer any more", { cause: error });
  } finally {
    clearInterval(timer);
  }
}

function* updatesOf({ event }: WatchResponse): Generator<WatchUpdate> {
  if (event.case === "started") yield { kind: "started", mode: event.value.mode === WatchMode.POLL ? "poll" : "notify" };
  if (event.case === "overflow") yield { kind: "resync", reason: "overflow" };
  for (const { kind, path, fileKind } of event.case === "changes" ? event.value.changes : []) {
    const change = CHANGES[kind];
    if (change !== undefined) yield { kind: change, path, fileKind };
  }
  if (event.case !== "ended") return;
  if (event.value.reason === WatchEndReason.DIRECTORY_GONE) yield { kind: "ended", reason: "directory_gone" };
  if (event.value.reason === WatchEndReason.WORKSPACE_DELETED) yield { kind: "ended", reason: "workspace_deleted" };
}

/** The watch is over for good: a daemon that stops comes back. */
function isFinal({ event }: WatchResponse): boolean {
  return event.case === "ended" && event.value.reason !== WatchEndReason.DRAINING;
}
