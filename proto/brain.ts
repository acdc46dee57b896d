/** The wake API, `harness.brain.v1`. */
export * from "./gen/harness/brain/v1/brain_pb.ts";
