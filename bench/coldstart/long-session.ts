import { create } from "@bufbuild/protobuf";
import { branchTip, setValue } from "@earendil-works/pi-agent-core";
import { BACKGROUND_CONTEXT as CONTEXT } from "@earendil-works/pi-agent-core/harness/context";
import { generateStorageBenchmarkSeedTransactions } from "@earendil-works/pi-agent-core/harness/session/testing";
import { LeafKind, LeafResultSchema, LeafSpecSchema, LeafState, WorkerSchema } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { openPiSessions } from "../../pi-fork/sessions/open.ts";
import { DATASETS, type Scale } from "../session/measure.ts";
import { tail } from "../session/open.ts";
import { fill, storageWithin } from "../session/places.ts";
import { TENANT } from "./start.ts";

/** Make a session with as many entries as Pi's dataset has, a compaction behind them, and fifty more. It has to be new, and nothing else in the queue. */
export async function makeLongSession(store: LeafStore, storeUrl: string, sessionId: string, scale: Scale): Promise<void> {
  const spec = create(LeafSpecSchema, { tenant: TENANT, sessionId, kind: LeafKind.TURN, prompt: "Long ago." });
  await store.submit({ spec, idempotencyKey: "" });
  const claim = await store.claim(create(WorkerSchema, { name: "bench" }), 600_000);
  if (claim === undefined) throw new Error("nothing to claim");
  const sessions = openPiSessions(storeUrl);
  try {
    const session = await sessions.open(claim.fence);
    const storage = storageWithin(session);
    const { tipId } = DATASETS[scale];
    await fill(storage, generateStorageBenchmarkSeedTransactions(DATASETS[scale]));
    await fill(storage, [[setValue(branchTip("main"), tipId)], ...tail(tipId)]);
    await session.close(CONTEXT);
  } finally {
    await sessions.close();
  }
  await store.finish(claim, { state: LeafState.DONE, result: create(LeafResultSchema, { text: "Made." }) }, []);
}
