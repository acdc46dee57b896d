export { type ClientTimes, HandsClient } from "./client.ts";
export type { BatchOutcome, BatchStep } from "./files-batch.ts";
export type { WatchOptions, WatchUpdate } from "./files-watch.ts";
export type {
  CaptureOptions,
  CreateOptions,
  ExecHandle,
  ExecRequest,
  ExecUpdate,
  HandsClientOptions,
  TerminalHandle,
  TerminalRequest,
  TerminalUpdate,
  WorkspaceClient,
  WorkspaceDiff,
  WorkspaceSource,
  WriteOptions,
} from "./types.ts";
