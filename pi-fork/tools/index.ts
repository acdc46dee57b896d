import type { AgentHarnessTool } from "@earendil-works/pi-agent-core";
import { createSandboxBashTool } from "./bash.ts";
import { bounded } from "./bounded.ts";
import { changing, type WorkspaceUse } from "./changing.ts";
import { createSandboxEditTool } from "./edit.ts";
import { createFindTool } from "./find.ts";
import { gated } from "./gated.ts";
import type { Gates } from "./gates.ts";
import { createGrepTool } from "./grep.ts";
import { createLsTool } from "./ls.ts";
import { createSandboxReadTool } from "./read.ts";
import { createRequestApprovalTool } from "./request-approval.ts";
import { createSubmitTool, type ResultWish } from "./submit.ts";
import { createTerminalTool } from "./terminal.ts";
import { replayable, type ToolContext, type ToolObserver } from "./tool.ts";
import { createSandboxWriteTool } from "./write.ts";

/**
 * Every tool of the agent: read, bash, edit, write, grep, find, ls, terminal; if the policy says so request_approval, and if a result is
 * wished for, the one that takes it. `use` is told of changes to the workspace; once `isOver` says so, calls are refused. Throws if the policy names
 * a tool that is none of them.
 */
export function createTools(
  observer: ToolObserver,
  gates: Gates,
  wish?: ResultWish,
  use?: WorkspaceUse,
  isOver: () => boolean = () => false,
): Array<AgentHarnessTool<ToolContext>> {
  const tool: typeof replayable = (each, observed) => replayable(bounded(gated(changing(each, use), gates), isOver), observed);
  const tools = [
    tool(createSandboxReadTool(), observer),
    tool(createSandboxBashTool(), observer),
    tool(createSandboxEditTool(), observer),
    tool(createSandboxWriteTool(), observer),
    tool(createGrepTool(), observer),
    tool(createFindTool(), observer),
    tool(createLsTool(), observer),
    tool(createTerminalTool(), observer),
    ...(gates.offered ? [replayable(bounded(createRequestApprovalTool(gates), isOver), observer)] : []),
    ...(wish === undefined ? [] : [tool(createSubmitTool(wish), observer)]),
  ];
  gates.checkNames(tools.map(({ name }) => name));
  return tools;
}
