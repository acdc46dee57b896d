import { type AgentHarnessTool, type Context, createEditTool, type EditToolDetails, type FileError } from "@earendil-works/pi-agent-core";
import { HarnessError } from "@serverless-harness/kit/errors";
import { nextEffectId } from "../context.ts";
import type { HandsExecutionEnv } from "../env/hands-env.ts";
import { displayPatch } from "./patch-display.ts";
import { type ToolContext, textResult } from "./tool.ts";

type PiEditTool = ReturnType<typeof createEditTool<ToolContext>>;
type Edits = Parameters<PiEditTool["execute"]>[1]["edits"];

/** Files up to this size are read once more, to number the lines of the shown diff as Pi does. */
const MAX_NUMBERED_BYTES = 1024 * 1024;

/**
 * Pi's edit tool, done in the sandbox in one step: Pi's own reads, computes and writes, so a replay would edit twice or fail on its own
 * result. The sandbox's journal knows the change by the tool call's id, and a replay gets the first call's answer.
 */
export function createSandboxEditTool(): AgentHarnessTool<ToolContext, PiEditTool["parameters"], EditToolDetails | undefined> {
  return {
    ...createEditTool<ToolContext>(),
    async execute(_toolCallId, { path, edits }, _onUpdate, { env }, _invocation, context) {
      if (edits.length === 0) throw new Error("Edit tool input is invalid. edits must contain at least one replacement.");
      edits.forEach((edit, index) => {
        if (edit.oldText === "")
          throw new Error(`${edits.length === 1 ? "oldText" : `edits[${index}].oldText`} must not be empty in ${path}.`);
      });
      const details = await editFile(env, withoutMark(path), path, edits, context);
      return textResult(`Successfully replaced ${edits.length} block(s) in ${path}.`, details);
    },
  };
}

async function editFile(env: HandsExecutionEnv, path: string, shownPath: string, edits: Edits, context: Context): Promise<EditToolDetails> {
  const changeId = nextEffectId(context);
  const changed = await env.call(path, context, (hands, absolute) => hands.edit(absolute, edits, { changeId }));
  if (!changed.ok) throw editError(changed.error, shownPath);
  const { patch, file, firstChangedLine } = changed.value;
  const content = file.size > MAX_NUMBERED_BYTES ? undefined : await env.readTextFile(path, context);
  const lines = content?.ok ? content.value.split("\n").length : 0;
  return { diff: displayPatch(patch, lines), patch, firstChangedLine: Number(firstChangedLine) };
}

/** In Pi's words where Pi has some, since models know them. */
function editError(error: FileError, path: string): Error {
  const reason = error.cause instanceof HarnessError ? error.cause.reason : "";
  if (["no_match", "ambiguous_match", "overlapping_edits", "no_change"].includes(reason)) return new Error(error.message, { cause: error });
  if (error.code === "is_directory") return new Error(`Could not edit file: ${path}. Path is not a file.`, { cause: error });
  return new Error(`Could not edit file: ${path}. Error code: ${error.code}.`, { cause: error });
}

/** Models write `@path` for a path that a user mentioned so. */
function withoutMark(path: string): string {
  return path.startsWith("@") ? path.slice(1) : path;
}
