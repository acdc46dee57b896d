import { type AgentHarnessTool, createWriteTool, getOrThrow } from "@earendil-works/pi-agent-core";
import { nextEffectId } from "../env/context.ts";
import { partedNote, type ToolContext, textResult } from "./tool.ts";

type PiWriteTool = ReturnType<typeof createWriteTool<ToolContext>>;

/** Pi's write tool, to the path as it is given: Pi's own leaves out an @ at its beginning, and makes blanks of other blanks. */
export function createSandboxWriteTool(): AgentHarnessTool<ToolContext, PiWriteTool["parameters"], undefined> {
  return {
    ...createWriteTool<ToolContext>(),
    async execute(_toolCallId, { path, content }, _onUpdate, { env }, _invocation, context) {
      const written = await env.call(path, context, (hands, absolute) =>
        hands.write(absolute, Buffer.from(content), { changeId: nextEffectId(context) }),
      );
      return textResult(`Successfully wrote to ${path}${partedNote(getOrThrow(written))}`, undefined);
    },
  };
}
