import { type AgentHarnessTool, createBashTool, createReadTool, createWriteTool } from "@earendil-works/pi-agent-core";
import { createSandboxEditTool } from "./edit.ts";
import { createFindTool } from "./find.ts";
import { createGrepTool } from "./grep.ts";
import { createLsTool } from "./ls.ts";
import { createSubmitTool, type ResultWish } from "./submit.ts";
import { createTerminalTool } from "./terminal.ts";
import { replayable, type ToolContext, type ToolObserver } from "./tool.ts";

/** Every tool of the agent: read, bash, edit, write, grep, find, ls, terminal, and where a result is wished for, the one that takes it. */
export function createTools(observer: ToolObserver, wish?: ResultWish): Array<AgentHarnessTool<ToolContext>> {
  return [
    replayable(createReadTool<ToolContext>(), observer),
    replayable(createBashTool<ToolContext>(), observer),
    replayable(createSandboxEditTool(), observer),
    replayable(createWriteTool<ToolContext>(), observer),
    replayable(createGrepTool(), observer),
    replayable(createFindTool(), observer),
    replayable(createLsTool(), observer),
    replayable(createTerminalTool(), observer),
    ...(wish === undefined ? [] : [replayable(createSubmitTool(wish), observer)]),
  ];
}
