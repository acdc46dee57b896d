import type { ClientTls } from "@serverless-harness/kit/connection";
import type { Token } from "@serverless-harness/kit/transport";
import type {
  DiffSummary,
  Ended,
  FileInfo,
  GapReason,
  GrepLine,
  ScreenResponse,
  Snapshot,
  Stream,
  Terminal,
  TerminalEnded,
  Workspace,
} from "@serverless-harness/proto/hands";
import type { BatchOutcome, BatchStep } from "./files-batch.ts";
import type { WatchesClient } from "./files-watch.ts";

/** Bounds an exec's output at the source; see `harness.hands.v1.Capture`. */
export interface CaptureOptions {
  readonly maxBytes: number;
  readonly maxLines: number;
  readonly retain: "head" | "tail";
  /** Keep the whole output in a file in the sandbox once a bound is exceeded. Default false. */
  readonly spill?: boolean;
}

/** A command to run; see `harness.hands.v1.ExecSpec` for units and defaults. */
export interface ExecRequest {
  /** The same id never runs twice: it attaches, or replays. */
  readonly execId: string;
  readonly command: { readonly shell: string } | { readonly argv: readonly string[] };
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly clearEnv?: boolean;
  readonly stdinOpen?: boolean;
  readonly timeoutMs?: number;
  readonly noOutputTimeoutMs?: number;
  readonly killGraceMs?: number;
  readonly capture?: CaptureOptions;
}

/** What happens to an exec before its end, in order, each byte once, across any number of broken channels. */
export type ExecUpdate =
  /** `pid` is 0 if it is over already; `startedAtMs` is by the sandbox's clock; `silentMs`: how long it has written nothing. */
  | {
      readonly kind: "started";
      readonly pid: number;
      readonly startedAtMs: number;
      readonly attached: boolean;
      readonly silentMs: number;
    }
  | { readonly kind: "output"; readonly offset: number; readonly stream: Stream; readonly data: Uint8Array }
  | { readonly kind: "gap"; readonly from: number; readonly to: number; readonly reason: GapReason };

/** An exec that this client follows. */
export interface ExecHandle {
  readonly execId: string;
  /**
   * How it ended, once every update was delivered. Rejects with a HarnessError if the exec was refused (`id_reused`, `stale_epoch`,
   * `limit_reached`, `unknown_exec`), if hands stayed unreachable for the client's patience (UNAVAILABLE `sandbox_unavailable`),
   * and with reason `detached` (CANCELLED) after {@link detach}.
   */
  readonly ended: Promise<Ended>;
  /** Follow it no longer; the exec goes on in the sandbox. */
  detach(): void;
  /** End it: SIGTERM, then SIGKILL, to every descendant. Resolves when hands has taken the request; `ended` tells the end. */
  cancel(): Promise<void>;
  signal(name: NodeJS.Signals): Promise<void>;
  writeStdin(data: Uint8Array): void;
  closeStdin(): void;
}

/** A write to a file; see `harness.hands.v1.WriteHeader`. */
export interface WriteOptions {
  readonly changeId: string;
  readonly ifMatch?: string;
  readonly mode?: number;
  readonly append?: boolean;
}

/** One workspace, for one owner. Every method throws HarnessErrors; calls that hands did not get are retried under the same id. */
export interface WorkspaceClient extends FilesClient, WatchesClient, TerminalsClient, WorkspaceTreeClient {
  readonly name: string;
  /** Start an exec, or attach to it from `fromOffset` (default 0) if its id is known. `onUpdate` must not throw. */
  exec(request: ExecRequest, onUpdate: (update: ExecUpdate) => void, fromOffset?: number): ExecHandle;
  /** End an exec that nobody here follows: SIGTERM, then SIGKILL, to every descendant. NOT_FOUND `unknown_exec`. */
  cancelExec(execId: string): Promise<void>;
  /** Signal an exec that nobody here follows. NOT_FOUND `unknown_exec`. */
  signalExec(execId: string, name: NodeJS.Signals): Promise<void>;
  /** Have hands POST `body` (JSON) to `url` when an exec has ended, as far as it can. NOT_FOUND `unknown_exec`. */
  notifyEnd(execId: string, url: string, body: string): Promise<void>;
}

/** What a change of a file's content did to its other names. */
interface Parted {
  /** Other names (hard links) that the file had: they keep the old content. */
  readonly partedLinks: number;
}

/** The files of one workspace. Changes happen once per `changeId`. */
export interface FilesClient {
  stat(path: string, options?: { readonly follow?: boolean }): Promise<FileInfo>;
  read(path: string, options?: { readonly offset?: number; readonly length?: number; readonly ifMatch?: string }): Promise<Uint8Array>;
  write(path: string, data: Uint8Array, options: WriteOptions): Promise<{ file: FileInfo; replayed: boolean } & Parted>;
  edit(
    path: string,
    edits: ReadonlyArray<{ readonly oldText: string; readonly newText: string }>,
    options: { readonly changeId: string; readonly ifMatch?: string },
  ): Promise<{ file: FileInfo; patch: string; firstChangedLine: number; replayed: boolean } & Parted>;
  /** Every direct child, sorted by name. */
  list(path: string): Promise<FileInfo[]>;
  find(
    path: string,
    glob: string,
    options?: { readonly limit?: number; readonly includeIgnored?: boolean },
  ): Promise<{ paths: string[]; truncated: boolean }>;
  grep(
    path: string,
    pattern: string,
    options?: {
      readonly literal?: boolean;
      readonly ignoreCase?: boolean;
      readonly glob?: string;
      readonly contextLines?: number;
      readonly limit?: number;
    },
  ): Promise<{ lines: GrepLine[]; truncated: boolean; binary: string[] }>;
  mkdir(path: string, options: { readonly changeId: string; readonly recursive?: boolean }): Promise<void>;
  move(source: string, destination: string, options: { readonly changeId: string }): Promise<void>;
  remove(path: string, options: { readonly changeId: string; readonly recursive?: boolean; readonly missingOk?: boolean }): Promise<void>;
  /**
   * Up to 256 small operations in one round trip, in this order. Each has its outcome; with `stopOnError` none after
   * a failed one is run.
   */
  batch(steps: readonly BatchStep[], options?: { readonly stopOnError?: boolean }): Promise<BatchOutcome[]>;
}

/** How a client reaches hands. */
export interface HandsClientOptions {
  /** `unix:/path`, `http://host:port` or `https://host:port`. */
  readonly address: string;
  /** For an https address. Default: the system's authorities, no certificate of our own. */
  readonly tls?: ClientTls;
  /** Token, or a function that renews it. Absent: none is sent. */
  readonly token?: Token;
  /**
   * Hands refused the token as expired at this time of its clock, milliseconds since the Unix epoch: the clocks of
   * two machines may differ. Return true if the token is a better one now, and the call is made once more.
   */
  readonly onTokenExpired?: (nowMs: number) => boolean;
  /** How long a call waits for hands to come back before it fails, in milliseconds. Default 30000. */
  readonly patienceMs?: number;
}

/** What a workspace is made from. */
export type WorkspaceSource =
  | { readonly kind: "empty" }
  /** Another workspace of the same tenant. */
  | { readonly kind: "copy"; readonly workspace: string }
  /** A repository at a branch, tag or commit; default the remote's HEAD. */
  | { readonly kind: "git"; readonly url: string; readonly ref?: string };

/** How a workspace is made. */
export interface CreateOptions {
  /** Ignored if the workspace exists. Default empty. */
  readonly source?: WorkspaceSource;
  /** End what is there and make it again. Default false. */
  readonly fresh?: boolean;
}

/** A patch in git's form, as far as `max_bytes` allows, and what was counted of the whole. */
export interface WorkspaceDiff {
  readonly patch: Uint8Array;
  readonly summary: DiffSummary;
}

/** One workspace as a whole, for one owner. */
export interface WorkspaceTreeClient {
  /**
   * Make it if it is missing, and take it over with this client's epoch. UNAVAILABLE `source_unavailable`, NOT_FOUND
   * `unknown_ref`, FAILED_PRECONDITION `stale_epoch` or `tenant_refused`.
   */
  create(options?: CreateOptions): Promise<Workspace & { readonly existed: boolean }>;
  /** What changed since it was made, or since a snapshot. `maxBytes` defaults to 16 MiB. */
  diff(options?: { readonly sinceSnapshotId?: string; readonly maxBytes?: number }): Promise<WorkspaceDiff>;
  /**
   * Store its tree under an id; the same id returns the first snapshot. `onlyIfChanged`: an earlier one that holds the same will do, and is
   * returned as `unchanged`.
   */
  snapshot(
    snapshotId: string,
    options?: { readonly onlyIfChanged?: boolean },
  ): Promise<{ snapshot: Snapshot; replayed: boolean; unchanged: boolean }>;
  /** Replace its tree by a snapshot's. NOT_FOUND `unknown_snapshot`, DATA_LOSS `corrupt_snapshot`. */
  restore(snapshotId: string): Promise<{ snapshot: Snapshot; changedFiles: number }>;
  /** End its execs and terminals and remove its files. A no-op if it is gone. */
  delete(): Promise<void>;
}

/** A terminal to open; see `harness.hands.v1.OpenRequest` for units and defaults. */
export interface TerminalRequest {
  /** The same id with the same request finds the terminal that is there. */
  readonly terminalId: string;
  /** Program and arguments. Default: an interactive bash. */
  readonly argv?: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly columns?: number;
  readonly rows?: number;
}

/** What happens on a terminal, in order, each byte once, across any number of broken connections. */
export type TerminalUpdate =
  | { readonly kind: "attached"; readonly terminal: Terminal }
  | { readonly kind: "output"; readonly offset: number; readonly data: Uint8Array }
  /** Output that is no longer kept, or that this watcher was too slow for. */
  | { readonly kind: "gap"; readonly from: number; readonly to: number }
  | { readonly kind: "resized"; readonly columns: number; readonly rows: number };

/** A terminal that this client watches. */
export interface TerminalHandle {
  readonly terminalId: string;
  /**
   * How its program ended, once every update was delivered. Rejects with a HarnessError: NOT_FOUND `unknown_terminal` if it was closed, or
   * lost with its daemon; UNAVAILABLE `sandbox_unavailable` if hands stayed unreachable for the client's patience; FAILED_PRECONDITION
   * `stale_epoch` if another owner types; CANCELLED `detached` after {@link detach}.
   */
  readonly ended: Promise<TerminalEnded>;
  /** Type. What was on its way when a connection broke is sent again, and typed once. */
  write(data: Uint8Array): void;
  /** Change the window's size, after what was typed before. */
  resize(columns: number, rows: number): void;
  /** Watch it no longer; the terminal goes on in the sandbox. */
  detach(): void;
}

/** The terminals of one workspace, for one owner. */
export interface TerminalsClient {
  /** Open a terminal, or find the one of this id. ALREADY_EXISTS `id_reused`, RESOURCE_EXHAUSTED `limit_reached`. */
  openTerminal(request: TerminalRequest): Promise<{ terminal: Terminal; existed: boolean }>;
  /** Watch a terminal from a byte of its output on, default 0: all that is kept. `onUpdate` must not throw. */
  attachTerminal(terminalId: string, onUpdate: (update: TerminalUpdate) => void, fromOffset?: number): TerminalHandle;
  /** Type without watching; the same `inputId` is typed once. Returns whether it was typed before. At most 64 KiB. */
  writeTerminal(terminalId: string, data: Uint8Array, options: { readonly inputId: string }): Promise<{ replayed: boolean }>;
  resizeTerminal(terminalId: string, columns: number, rows: number): Promise<void>;
  /** What the window shows, as text, with lines of scrollback above it (default 0). */
  terminalScreen(terminalId: string, options?: { readonly scrollbackLines?: number }): Promise<ScreenResponse>;
  /** Newest first. */
  listTerminals(): Promise<Terminal[]>;
  /** End its program with every descendant, and forget it. A no-op if there is none. */
  closeTerminal(terminalId: string): Promise<void>;
}
