import { FailureReason } from "@serverless-harness/proto/leaf";
import type { AgentFailure } from "../failure.ts";
import { type Lacks, lacksSentence } from "./lacks.ts";
import type { SnapshotNote } from "./state.ts";

const BEGUN_ANEW = "Note of the harness, not of the user: what comes next was tried before, and begins again.";
const ALSO_GONE =
  "What git ignores, background processes and terminals are gone as well. Look at the files before you go on, and do again what is missing.";

/** What the model is told of a workspace whose files are older than the conversation, or that lacks something of them. */
export function noticeOf(note: SnapshotNote | undefined, { behind, lacks }: { behind: boolean; lacks: Lacks }): string {
  const begin = "Note of the harness, not of the user: the sandbox with your workspace was lost, and there is a new one.";
  if (note === undefined) {
    return `${begin} No snapshot of your files could be restored: they are as they were when this session began. All changes that you made are gone. ${ALSO_GONE}`;
  }
  const at = new Date(note.atMs).toISOString();
  const after = behind ? "what tool calls changed after that is gone" : "nothing was changed after that";
  const sentences = [begin, `Your files are those of snapshot ${note.id} of ${at}: ${after}.`, lacksSentence(lacks), ALSO_GONE];
  return sentences.filter((sentence) => sentence !== "").join(" ");
}

/** What the model is told if work begins again and the workspace was taken back, except for something. */
export function takenBackBut(lacks: Lacks): string {
  return `${BEGUN_ANEW} Your files are those from before that. ${lacksSentence(lacks)} Look at the files before you go on.`;
}

/** What the model is told where work begins anew and the workspace does not. */
export const NOT_TAKEN_BACK =
  `${BEGUN_ANEW} Your workspace could not be taken back to where it was before that: it still holds what the earlier attempt did. ` +
  "Look at the files before you go on.";

/** Why an operation ends whose work is gone. */
export function sandboxLost(): AgentFailure {
  const message =
    "the sandbox was lost with what this leaf had done in it, and there is no snapshot of that: redrive the leaf from the start, or have it go on with what is there";
  return { reason: FailureReason.SANDBOX_LOST, retryable: false, message };
}
