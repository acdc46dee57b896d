import { type AgentHarnessTool, type Context, createEditTool, type EditToolDetails, type FileError } from "@earendil-works/pi-agent-core";
import { HarnessError } from "@serverless-harness/kit/errors";
import { nextEffectId } from "../env/context.ts";
import type { HandsExecutionEnv } from "../env/hands-env.ts";
import { displayPatch } from "./patch-display.ts";
import { partedNote, type ToolContext, textResult } from "./tool.ts";

type PiEditTool = ReturnType<typeof createEditTool<ToolContext>>;
type Edits = Parameters<PiEditTool["execute"]>[1]["edits"];

/** Names of the file before and after, as git writes them; Pi writes the path as the model gave it. */
const HEADER = /^--- .*\n\+\+\+ .*\n/;

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
      const { details, note } = await editFile(env, path, edits, context);
      return textResult(`Successfully replaced ${edits.length} block(s) in ${path}.${note}`, details);
    },
  };
}

async function editFile(
  env: HandsExecutionEnv,
  path: string,
  edits: Edits,
  context: Context,
): Promise<{ details: EditToolDetails; note: string }> {
  const changing = edits.filter(({ oldText, newText }) => oldText !== newText);
  if (changing.length === 0) throw unchanged(path, edits.length);
  const changed = await env.call(path, context, (hands, absolute) => hands.edit(absolute, changing, { changeId: nextEffectId(context) }));
  const indexes = edits.flatMap((edit, index) => (changing.includes(edit) ? [index] : []));
  const nameOf = (index: number) => (edits.length === 1 ? "the text" : `edits[${indexes[index]}]`);
  if (!changed.ok) throw editError(changed.error, path, nameOf);
  const { patch, firstChangedLine } = changed.value;
  if (firstChangedLine === 0) throw unchanged(path, edits.length);
  const details = { diff: displayPatch(patch), patch: patch.replace(HEADER, `--- ${path}\n+++ ${path}\n`), firstChangedLine };
  return { details, note: partedNote(changed.value) };
}

function unchanged(path: string, edits: number): Error {
  const one =
    "The replacement produced identical content. This might indicate an issue with special characters or the text not existing as expected.";
  return new Error(`No changes made to ${path}. ${edits === 1 ? one : "The replacements produced identical content."}`);
}

/** What the model is told, in Pi's words where Pi has some: models know them. */
function editError(error: FileError, path: string, name: (index: number) => string): Error {
  const { reason = "", metadata = {} } = error.cause instanceof HarnessError ? error.cause : {};
  const which = name(Number(metadata["edit"]));
  return new Error(editProblem(reason, which, path) ?? `Could not edit file: ${path}. Error code: ${error.code}.`, { cause: error });
}

function editProblem(reason: string, which: string, path: string): string | undefined {
  switch (reason) {
    case "no_match":
      return which === "the text"
        ? `Could not find the exact text in ${path}. The old text must match exactly including all whitespace and newlines.`
        : `Could not find ${which} in ${path}. The oldText must match exactly including all whitespace and newlines.`;
    case "ambiguous_match":
      return `Found several occurrences of ${which} in ${path}. The text must be unique. Please provide more context to make it unique.`;
    case "overlapping_edits":
      return `${which} overlaps with another edit in ${path}. Merge them into one edit or target disjoint regions.`;
    case "is_directory":
    case "not_a_file":
      return `Could not edit file: ${path}. Path is not a file.`;
    case "not_text":
    case "file_too_large":
      return `Could not edit file: ${path}. It ${reason === "not_text" ? "is no UTF-8 text" : "is too large"}: use bash instead.`;
    default:
      return undefined;
  }
}
