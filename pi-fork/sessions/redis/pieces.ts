import { pendingAssistantFrames, type Write } from "@earendil-works/pi-agent-core";

const FRAMES = pendingAssistantFrames("", "").namespace;

/**
 * A commit that does nothing but add a piece to an answer that is being streamed. It is read by nobody but the one who takes over from an
 * owner that died in the middle of the answer, to note what was said; the whole answer is committed when it ends.
 */
export function isPiece(writes: readonly Write[]): boolean {
  const [write, ...others] = writes;
  return others.length === 0 && write?.kind === "list" && write.op === "append" && write.namespace === FRAMES;
}
