export type { BatchOutcome, BatchStep } from "./batch-types.ts";
export { type ClientTimes, HandsClient } from "./client.ts";
export type { TerminalHandle, TerminalRequest, TerminalUpdate } from "./terminal-types.ts";
export type {
  CaptureOptions,
  ExecHandle,
  ExecRequest,
  ExecUpdate,
  HandsClientOptions,
  WorkspaceClient,
  WriteOptions,
} from "./types.ts";
export type { WatchOptions, WatchUpdate } from "./watch-types.ts";
export type { CreateOptions, WorkspaceDiff, WorkspaceSource } from "./workspace-types.ts";
