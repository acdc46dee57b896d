import type { AgentHarnessTool } from "@earendil-works/pi-agent-core";
import { DecisionKind } from "@serverless-harness/proto/leaf";
import type { TSchema } from "typebox";
import type { Gates } from "./gates.ts";
import type { ToolContext } from "./tool.ts";

/** A call's memo that says where it stands at its gate: before it or after. */
export const GATE_MEMO = "gate";
/** The call has not begun to act. */
export const WAITS_AT_GATE = "waits";
const PASSED = "passed";
/** How the model is told of a human's no begins. */
export const NOT_APPROVED = "A human did not approve this call, and it was not made.";

/** A tool whose calls wait for a human if the leaf's policy says so. A call that is rejected does nothing, and its model is told why. */
export function gated<TParameters extends TSchema, TDetails>(
  tool: AgentHarnessTool<ToolContext, TParameters, TDetails>,
  gates: Gates,
): AgentHarnessTool<ToolContext, TParameters, TDetails> {
  return {
    ...tool,
    async execute(toolCallId, params, onUpdate, toolContext, invocation, context) {
      if (await gates.needsApproval(tool.name, params)) {
        const shown = { summary: `The agent wants to use the tool ${tool.name}.`, proposedAction: JSON.stringify(params, undefined, 2) };
        // A call that has passed its gate may have acted: whoever finds its workspace gone has to know.
        const stands = await invocation.getMemo(GATE_MEMO);
        if (stands === undefined) await invocation.setMemo(GATE_MEMO, WAITS_AT_GATE);
        const { kind, feedback } = await gates.decision(invocation.invocationId, tool.name, params, shown, context);
        if (kind !== DecisionKind.APPROVE) throw new Error(rejection(feedback));
        if (stands !== PASSED) await invocation.setMemo(GATE_MEMO, PASSED);
      }
      return tool.execute(toolCallId, params, onUpdate, toolContext, invocation, context);
    },
  };
}

function rejection(feedback: string): string {
  const why = feedback === "" ? "No reason was given." : feedback;
  return `${NOT_APPROVED} ${why}`;
}
