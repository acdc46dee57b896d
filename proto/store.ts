/** What the leaf store keeps and no client sees, `harness.store.v1`. */
export * from "./gen/harness/store/v1/schedule_record_pb.ts";
