/** The standard reflection protocol, `grpc.reflection.v1`. */
export * from "./gen/grpc/reflection/v1/reflection_pb.ts";
