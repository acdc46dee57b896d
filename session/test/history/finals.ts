import { LeafStateSchema } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "../../contract/leaf-store.ts";
import { logOf, words } from "../../testing/build.ts";
import type { Final } from "./history.ts";

/** What a store holds at the end. */
export async function finals(store: LeafStore): Promise<Final[]> {
  const { leaves } = await store.list({ limit: 1000 });
  return Promise.all(
    leaves.map(async ({ leafId, spec, state, result }) => ({
      leafId,
      sessionId: spec?.sessionId ?? "",
      key: spec?.prompt ?? "",
      state: LeafStateSchema.value[state]?.localName.toLowerCase() ?? "",
      result: result?.text,
      log: (await logOf(store, leafId)).map((event) => ({
        seq: Number(event.seq),
        word: words([event])[0] ?? "",
        ...(event.event.case === "stateChanged" && event.event.value.epoch > 0n ? { epoch: Number(event.event.value.epoch) } : {}),
      })),
    })),
  );
}
