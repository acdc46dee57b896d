/** The sandbox's API, `harness.hands.v1`: one import for its files. */
export * from "./gen/harness/hands/v1/exec_pb.ts";
export * from "./gen/harness/hands/v1/file_pb.ts";
export * from "./gen/harness/hands/v1/identity_pb.ts";
export * from "./gen/harness/hands/v1/terminal_pb.ts";
export * from "./gen/harness/hands/v1/workspace_pb.ts";
