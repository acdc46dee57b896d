/** The standard error details, `google.rpc`. */
export * from "./gen/google/rpc/error_details_pb.ts";
