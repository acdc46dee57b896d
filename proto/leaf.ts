/** The public API, `harness.leaf.v1`: one import for its files. */
export * from "./gen/harness/leaf/v1/event_pb.ts";
export * from "./gen/harness/leaf/v1/gate_pb.ts";
export * from "./gen/harness/leaf/v1/leaf_pb.ts";
export * from "./gen/harness/leaf/v1/message_pb.ts";
export * from "./gen/harness/leaf/v1/sandbox_pb.ts";
export * from "./gen/harness/leaf/v1/sandbox_service_pb.ts";
export * from "./gen/harness/leaf/v1/schedule_pb.ts";
export * from "./gen/harness/leaf/v1/schedule_service_pb.ts";
export * from "./gen/harness/leaf/v1/service_pb.ts";
export * from "./gen/harness/leaf/v1/token_pb.ts";
export * from "./gen/harness/leaf/v1/webhook_pb.ts";
