import { isObject } from "@serverless-harness/kit/json-schema/well-formed";
import { DecisionKind } from "@serverless-harness/proto/leaf";

/** An answer to a question that is named by its place among those of its session, as gate files and the seed's API name them. */
export interface NumberedDecision {
  /** The question's place among those of its session; `gateId` in files and in the seed's API. */
  readonly questionNumber: number;
  readonly action: "approve" | "reject" | "abort";
  readonly feedback: string;
}

const KINDS: Readonly<Record<NumberedDecision["action"], DecisionKind>> = {
  approve: DecisionKind.APPROVE,
  reject: DecisionKind.REJECT,
  abort: DecisionKind.ABORT,
};

/** Read `{gateId, action, feedback?}`; `undefined` if it is something else. */
export function numberedDecision(value: unknown): NumberedDecision | undefined {
  if (!isObject(value)) return undefined;
  const { gateId, action, feedback = "" } = value;
  const known = (["approve", "reject", "abort"] as const).find((each) => each === action);
  if (typeof gateId !== "number" || !Number.isSafeInteger(gateId) || gateId < 0 || known === undefined) return undefined;
  if (feedback !== null && typeof feedback !== "string") return undefined;
  return { questionNumber: gateId, action: known, feedback: feedback ?? "" };
}

/** What is decided, as leaves know it. */
export function kindOf({ action }: NumberedDecision): DecisionKind {
  return KINDS[action];
}
