export { type ClientTimes, HandsClient } from "./client.ts";
export type {
  CaptureOptions,
  ExecHandle,
  ExecRequest,
  ExecUpdate,
  HandsClientOptions,
  WorkspaceClient,
  WriteOptions,
} from "./types.ts";
