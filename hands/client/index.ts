export type {
  CaptureOptions,
  ExecHandle,
  ExecRequest,
  ExecUpdate,
  HandsClientOptions,
  WorkspaceClient,
  WriteOptions,
} from "./types.ts";
