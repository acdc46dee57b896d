import type { ResultWish } from "@serverless-harness/pi-fork";
import { LeafKind, type LeafSpec } from "@serverless-harness/proto/leaf";

/** The result of a task that names no schema. */
const VERDICT = {
  type: "object",
  properties: {
    item_id: { type: "string", minLength: 1, description: "Id of the item that was judged" },
    verdict: { type: "string", enum: ["FLAGGED", "CLEAR"] },
    reason: { type: "string", description: "Why, in a sentence or two" },
  },
  required: ["item_id", "verdict", "reason"],
  additionalProperties: false,
};

/** What a leaf's agent has to hand in; `undefined` if its last words are its result. */
export function resultWish(spec: LeafSpec | undefined): ResultWish | undefined {
  if (spec?.kind !== LeafKind.TASK) return undefined;
  const { outputSchema } = spec;
  return outputSchema === undefined ? { tool: "submit_verdict", schema: VERDICT } : { tool: "submit_result", schema: outputSchema };
}

/** What a leaf's agent is asked: the prompt, and after it what it is given to work on. */
export function promptOf(spec: LeafSpec | undefined): string {
  const prompt = spec?.prompt ?? "";
  if (spec?.input === undefined) return prompt;
  return `${prompt}\n\nThe input, as JSON:\n\n${JSON.stringify(spec.input, null, 2)}`;
}
