import type { ServiceImpl } from "@connectrpc/connect";
import { Validation } from "@serverless-harness/kit/validate";
import { DecisionKind, type LeafService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../caller.ts";
import type { Leaves } from "../leaves.ts";
import { checkLeafId } from "../query.ts";

const KINDS: ReadonlySet<DecisionKind> = new Set([DecisionKind.APPROVE, DecisionKind.REJECT, DecisionKind.ABORT]);

/** Decide answers a gate. */
export function decide(leaves: Leaves): ServiceImpl<typeof LeafService>["decide"] {
  return async ({ leafId, gateId, kind, feedback, decidedBy, decisionRef }, context) => {
    const v = new Validation();
    checkLeafId(v, leafId);
    if (decisionRef === "") {
      v.check("gate_id", gateId !== "", "must be set: the leaf's open_gates name it");
      v.check("kind", KINDS.has(kind), "must be DECISION_KIND_APPROVE, DECISION_KIND_REJECT or DECISION_KIND_ABORT");
    } else {
      const alone = gateId === "" && kind === DecisionKind.UNSPECIFIED && feedback === "";
      v.check("decision_ref", alone, "must not be set with gate_id, kind or feedback: the file says them");
    }
    v.done();
    const caller = callerOf(context);
    if (decisionRef !== "") return { gate: await leaves.decideByFile(caller, leafId, decisionRef, decidedBy) };
    return { gate: await leaves.decide(caller, leafId, gateId, { kind, feedback, decidedBy }) };
  };
}
