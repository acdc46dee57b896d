import type { AgentHarnessTool } from "@earendil-works/pi-agent-core";
import type { TSchema } from "typebox";
import type { ToolContext } from "./tool.ts";

/** Tools that may change files of the workspace. */
export const CHANGING_TOOLS: ReadonlySet<string> = new Set(["bash", "edit", "write", "terminal"]);

/** The workspace as the session's log knows it. */
export interface WorkspaceUse {
  /** Calls that had begun in a workspace that is gone. */
  readonly lost: ReadonlySet<string>;
  /** A call is about to change the workspace: resolves when the log says so. */
  used(): Promise<void>;
}

const LOST =
  "The sandbox was lost while this call ran. Whether it came to its end is not known, and it is not made again by itself. The workspace is in a " +
  "new sandbox now: look at what is there before you go on, and think of what this call may have done outside of it.";

/** A tool that changes the workspace. What had begun in one that is gone is not begun again: its model is told. */
export function changing<TParameters extends TSchema, TDetails>(
  tool: AgentHarnessTool<ToolContext, TParameters, TDetails>,
  use: WorkspaceUse | undefined,
): AgentHarnessTool<ToolContext, TParameters, TDetails> {
  if (use === undefined || !CHANGING_TOOLS.has(tool.name)) return tool;
  return {
    ...tool,
    async execute(toolCallId, params, onUpdate, toolContext, invocation, context) {
      if (use.lost.has(invocation.invocationId)) throw new Error(LOST);
      // No result may be made of a log that can't be written: a commit of Pi's own that fails as well ends the agent.
      await use.used().catch(() => invocation.setMemo("workspace", "used").then(() => use.used()));
      return tool.execute(toolCallId, params, onUpdate, toolContext, invocation, context);
    },
  };
}
