import type { AgentHarnessTool } from "@earendil-works/pi-agent-core";
import { DecisionKind } from "@serverless-harness/proto/leaf";
import { type Static, Type } from "typebox";
import type { Gates } from "./gates.ts";
import { type ToolContext, textResult } from "./tool.ts";

export const REQUEST_APPROVAL = "request_approval";

const PARAMETERS = Type.Object({
  summary: Type.String({ minLength: 1, description: "What you want to do and why, in a sentence or two" }),
  proposed_action: Type.String({
    minLength: 1,
    description: "Exactly what you will do once it is approved: the commands, the change, the message",
  }),
});

/** The tool by which an agent asks a human. It waits for the answer however long that takes. */
export function createRequestApprovalTool(gates: Gates): AgentHarnessTool<ToolContext, typeof PARAMETERS, undefined> {
  return {
    name: REQUEST_APPROVAL,
    label: REQUEST_APPROVAL,
    description:
      "Ask a human to approve something before you do it. Waits until they have decided. Use it in front of everything that can't be undone.",
    parameters: PARAMETERS,
    async execute(_toolCallId, params: Static<typeof PARAMETERS>, _onUpdate, _toolContext, invocation, context) {
      const shown = { summary: params.summary, proposedAction: params.proposed_action };
      const { kind, feedback } = await gates.decision(invocation.invocationId, REQUEST_APPROVAL, params, shown, context);
      const approved = kind === DecisionKind.APPROVE;
      const words = approved ? "Approved: go on exactly as proposed." : "Rejected: don't do it.";
      return textResult(feedback === "" ? words : `${words} ${feedback}`, undefined);
    },
  };
}
