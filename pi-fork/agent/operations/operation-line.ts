import { type AgentLane, BACKGROUND_CONTEXT as CONTEXT, type Entry, type OperationResultRecord } from "@earendil-works/pi-agent-core";
import { entriesBehind } from "../log/history.ts";

/** The operations that a leaf was, is and may be: it goes on in another one if a human had it begin again. */
export interface OperationLine {
  /** The one to run. */
  readonly id: string;
  /** Those that it goes on from, the newest first. */
  readonly earlier: readonly string[];
  /** Those of former beginnings, which it does not go on from, the oldest first. */
  readonly former: readonly string[];
}

/** The operations of a line that are over, as the log tells. */
export interface PastOperations {
  /** That the line goes on from, the oldest first. */
  readonly earlier: readonly OperationResultRecord[];
  /** Of former beginnings, the oldest first. */
  readonly former: readonly OperationResultRecord[];
}

/** A line of one operation. */
export function lineOf(id: string): OperationLine {
  return { id, earlier: [], former: [] };
}

/** The operation is one of the line's that it goes on from, or the one to run. */
export function isCurrent({ id, earlier }: OperationLine, operationId: string): boolean {
  return operationId === id || earlier.includes(operationId);
}

/** Read which of a line's operations are over. One that was never redriven costs nothing. */
export async function readPast(lane: AgentLane, { earlier, former }: OperationLine): Promise<PastOperations> {
  const read = async (ids: readonly string[]): Promise<OperationResultRecord[]> => {
    const records = await Promise.all(ids.map((id) => lane.getResult(id, CONTEXT)));
    return records.filter((record) => record !== undefined);
  };
  return { earlier: await read(earlier.toReversed()), former: await read(former) };
}

/** An operation's entries, oldest first, wherever the lane is by now. */
export async function entriesOf(lane: AgentLane, { fromTipId, tipId }: OperationResultRecord): Promise<Entry[]> {
  return (await entriesBehind(lane, fromTipId, tipId)).entries;
}

const AGAIN =
  "Note of the harness, not of the user: your work on this was stopped before it was done, and is taken up again now. Go on from where you stopped.";

/** What the model is asked when work goes on. `newest`: the conversation's last operation is the leaf's own, so it knows what it is about. */
export function goOnPrompt(prompt: string, newest: boolean): string {
  return newest ? AGAIN : `${AGAIN} It was this:\n\n${prompt}`;
}
