import type { FileKind } from "@serverless-harness/proto/hands";

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
   * Watch what is in a directory. Begins with the iteration; `started` comes first, so list behind it. Errors as Watch's, and UNAVAILABLE
   * `sandbox_unavailable` where hands stayed unreachable for the client's patience.
   */
  watch(path: string, options?: WatchOptions): AsyncIterable<WatchUpdate>;
}

/** What a watch tells, in order. Paths are relative to the workspace. */
export type WatchUpdate =
  /** What changes from here on is told. Again where hands has to notice changes in another way, with nothing missed. */
  | { readonly kind: "started"; readonly mode: "notify" | "poll" }
  | { readonly kind: "created" | "modified" | "removed"; readonly path: string; readonly fileKind: FileKind }
  /** Changes before this may not have been told, those behind it are: list again. Its reader, or the connection, was too slow or broke. */
  | { readonly kind: "resync"; readonly reason: "overflow" | "reconnected" }
  /** There is nothing more to watch; last. */
  | { readonly kind: "ended"; readonly reason: "directory_gone" | "workspace_deleted" };
