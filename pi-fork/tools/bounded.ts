import type { AgentHarnessTool } from "@earendil-works/pi-agent-core";
import type { TSchema } from "typebox";
import type { ToolContext } from "./tool.ts";

/** What the model is told of a call that comes too late. */
export const TOO_LATE = "No tool call is made any more: the turns that this work may take are used up. Say what you found, and end.";

/** A tool whose calls are refused once `isOver` says so. */
export function bounded<TParameters extends TSchema, TDetails>(
  tool: AgentHarnessTool<ToolContext, TParameters, TDetails>,
  isOver: () => boolean,
): AgentHarnessTool<ToolContext, TParameters, TDetails> {
  return {
    ...tool,
    async execute(...call) {
      if (isOver()) throw new Error(TOO_LATE);
      return tool.execute(...call);
    },
  };
}
