import { LeafKind, LeafState } from "@serverless-harness/proto/leaf";
import type { Stack } from "../parts/stack.ts";

const SPEC = { kind: LeafKind.TURN, prompt: "Hello" };

/** Milliseconds from a submit, with a brain that lives and has nothing to do, to the leaf's first request at the model. */
export async function submitToRequest({ leaves, model }: Stack): Promise<number> {
  const submitted = Date.now();
  let isDone = false;
  for await (const { event } of leaves.run({ spec: SPEC })) {
    if (event?.event.case === "stateChanged") isDone = event.event.value.state === LeafState.DONE;
  }
  const request = (await model.requests()).find(({ at_ms }) => at_ms >= submitted);
  if (!isDone || request === undefined) throw new Error("the leaf did not come to the model, or not to its end");
  return request.at_ms - submitted;
}
