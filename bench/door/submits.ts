import { LeafKind, LeafService } from "@serverless-harness/proto/leaf";
import { specOf } from "@serverless-harness/session/testing";
import { timed } from "../pace.mjs";
import type { Door } from "./door.ts";
import type { GrpcCaller } from "./grpc.ts";

const REQUEST = { spec: { kind: LeafKind.TURN, prompt: "say hi" } };

/** Milliseconds of submits, by gRPC and by the store itself in this process, one after the other. */
export async function submitDelays(door: Door, caller: GrpcCaller, count: number): Promise<{ grpc: number[]; store: number[] }> {
  const times = { grpc: [] as number[], store: [] as number[] };
  for (let i = 0; i < count; i++) {
    times.grpc.push(await timed(() => caller.call(LeafService.method.submit, REQUEST)));
    times.store.push(await timed(() => door.store.submit({ spec: specOf(), idempotencyKey: "" })));
  }
  return times;
}

/** Submits per second by gRPC, `inFlight` of them at any time. */
export async function submitsPerSecond(caller: GrpcCaller, inFlight: number, count: number): Promise<number> {
  let left = count;
  const started = performance.now();
  const loop = async (): Promise<void> => {
    while (left-- > 0) await caller.call(LeafService.method.submit, REQUEST);
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  return count / ((performance.now() - started) / 1000);
}
