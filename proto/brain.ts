/** The wake API, and how brains get into the sandbox: `harness.brain.v1`. */
export * from "./gen/harness/brain/v1/brain_pb.ts";
export * from "./gen/harness/brain/v1/sandbox_access_pb.ts";
