import { FailureReason } from "@serverless-harness/proto/leaf";
import type { Forked } from "../../sessions/contract/fork.ts";
import type { SessionName } from "../../sessions/contract/sessions.ts";
import type { AgentFailure } from "../log/failure.ts";
import type { SnapshotNote } from "./state.ts";

/** What a workspace lacks of what it was made from or restored to. */
export interface Lacks {
  /** Paths below the workspace, and why, as a part of a sentence: `is a socket`. */
  readonly named: ReadonlyArray<{ readonly path: string; readonly why: string }>;
  /** How many more there are. */
  readonly more: number;
}

export const LACKS_NOTHING: Lacks = { named: [], more: 0 };

/** A sentence for the model; empty if nothing is lacking. */
export function lacksSentence({ named, more }: Lacks): string {
  if (named.length === 0) return "";
  // Commands choose names: quoted, none of them can pass for the harness's own words.
  const each = named.map(({ path, why }) => `${JSON.stringify(path)} (${why})`);
  return `These could not be taken along: ${each.join(", ")}${more === 0 ? "" : `, and ${more} more`}.`;
}

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

/** What the model is told if work begins again and the workspace could not be taken back. */
export const NOT_TAKEN_BACK =
  `${BEGUN_ANEW} Your workspace could not be taken back to where it was before that: it still holds what the earlier attempt did. ` +
  "Look at the files before you go on.";

/** Why an operation ends whose work is gone. */
export function sandboxLost(): AgentFailure {
  const message =
    "the sandbox was lost with what this leaf had done in it, and there is no snapshot of that: redrive the leaf from the start, or have it go on with what is there";
  return { reason: FailureReason.SANDBOX_LOST, retryable: false, message };
}

/** Where a session's conversation begins. */
export interface ForkSource {
  readonly from: SessionName;
  /** The last entry that is copied. Empty: the newest one. */
  readonly entryId: string;
  /** The workspace is a copy of the other session's; otherwise there was none, and it is empty. */
  readonly copied: Promise<boolean>;
  /** What the copy lacks. */
  readonly lacks: Promise<Lacks>;
}

/** How a forked session's workspace goes with its conversation. */
export interface ForkOrigin extends Forked {
  readonly copied: boolean;
  /** Where it is, as a command in it sees it. */
  readonly path: string;
  /** What it lacks of the other one. */
  readonly lacks: Lacks;
}

const BEGIN = "Note of the harness, not of the user: this conversation goes on from another one, of which everything up to here is a copy.";
const LOOK = "Look at the files before you rely on what you remember of them.";

/**
 * What the model is told of a workspace that is not the one in which it remembers to have worked. `worked`: its conversation has tool calls that may
 * have changed files. `undefined`: there is nothing to be told.
 */
export function forkNotice({ newest, copied, path, lacks }: ForkOrigin, worked: boolean): string | undefined {
  if (!worked && newest && lacks.named.length === 0) return undefined;
  if (!copied) return worked ? `${BEGIN} Its files could not be had: your workspace, ${path}, is empty.` : undefined;
  const place = `Your workspace is ${path}, a copy of that one's: don't use paths of the other one. Its background processes and terminals are not here.${lacks.named.length === 0 ? "" : ` ${lacksSentence(lacks)}`}`;
  if (newest) return `${BEGIN} ${place}`;
  return `${BEGIN} ${place} The files are those that the other conversation has now, and may be newer than what you remember. ${LOOK}`;
}
