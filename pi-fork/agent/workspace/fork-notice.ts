import type { Forked } from "../../sessions/fork.ts";
import type { SessionName } from "../../sessions/sessions.ts";
import { type Lacks, lacksSentence } from "./lacks.ts";

/** Where a session's conversation begins. */
export interface ForkSource {
  readonly from: SessionName;
  /** The last entry that is copied. Empty: the newest one. */
  readonly entryId: string;
  /** The workspace is a copy of the other session's; else there was none, and it is empty. */
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
