import type { AgentLane, Session } from "@earendil-works/pi-agent-core";
import { readCheckpoint, usageSince } from "../compaction/checkpoint.ts";
import { takeUpSummary } from "../compaction/open-summary.ts";
import type { Summaries } from "../compaction/summaries.ts";
import type { ExpectedResult } from "../expected-result.ts";
import type { Story } from "../narrator.ts";
import { contextTokensAt, type Price } from "../usage/interrupted.ts";
import { entriesBehind } from "./history.ts";

/** Where operations are read from. */
export interface StoryReaderParts {
  readonly lane: AgentLane;
  readonly session: Session;
  readonly summaries: Summaries;
  readonly expected: ExpectedResult | undefined;
  readonly price: Price;
}

/** Reads what the log knows of an operation: from its begin, or where its conversation was summed up, from there. */
export class StoryReader {
  readonly #parts: StoryReaderParts;

  constructor(parts: StoryReaderParts) {
    this.#parts = parts;
  }

  /** `fromTipId`: the newest entry in front of the operation. `tipId`: its last one, where it is over; `null` where it has none. */
  async read(operationId: string, fromTipId: string | null, tipId?: string | null): Promise<Story> {
    const { lane, session, summaries, expected, price } = this.#parts;
    const found = await readCheckpoint(session, operationId);
    if (found === undefined)
      return { ...(await entriesBehind(lane, fromTipId, tipId)), cut: false, contextTokens: await contextTokensAt(lane, fromTipId) };
    const checkpoint = await takeUpSummary(session, found, summaries, price);
    if (checkpoint.expected !== undefined) expected?.restore(checkpoint.expected);
    const [behind, usage] = await Promise.all([entriesBehind(lane, checkpoint.entryId, tipId), usageSince(session, checkpoint)]);
    return { ...behind, cut: true, contextTokens: checkpoint.contextTokens, usage };
  }
}
