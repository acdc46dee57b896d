import { create, type JsonObject } from "@bufbuild/protobuf";
import { type LeafResult, LeafResultSchema } from "@serverless-harness/proto/leaf";
import type { Solution } from "./solution.ts";

/** What an agent's run brought. */
interface Brought extends Partial<Solution> {
  readonly text: string;
  readonly value?: Readonly<Record<string, unknown>>;
}

/** The result as a leaf's record holds it. */
export function toResult({ text, value, patch = "", baseCommit = "", leftOut = [] }: Brought): LeafResult {
  // It came out of a model's JSON.
  return create(LeafResultSchema, {
    text,
    patch,
    baseCommit,
    leftOut: [...leftOut],
    ...(value === undefined ? {} : { value: value as JsonObject }),
  });
}
