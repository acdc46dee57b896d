/** The protocol of KEDA's external scalers, `externalscaler`. */
export * from "./gen/externalscaler/externalscaler_pb.ts";
