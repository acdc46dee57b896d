import { create } from "@bufbuild/protobuf";
import type { Logger } from "@serverless-harness/kit/log";
import { type WakeRequest, type WakeResponse, WakeResponseSchema } from "@serverless-harness/proto/brain";
import type { Runner } from "../runner.ts";

/** Claim and run until idle, and tell what was done. A hint: what a lost one asked for, the next one does. */
export function wake(runner: Runner, log: Logger) {
  return async ({ reason }: WakeRequest): Promise<WakeResponse> => {
    log.info({ reason }, "woken");
    return create(WakeResponseSchema, await runner.runUntilIdle());
  };
}
