import type { AgentUsage } from "./usage.ts";

/** How a workspace that was lost was made again. */
export interface Restored {
  /** The leaf that found it missing. */
  readonly leafId: string;
  /** Identity of the workspace that there is since. */
  readonly made: string;
  /** Empty if no snapshot could be restored. */
  readonly snapshotId: string;
  /** The conversation has tool calls whose changes are not in it. */
  readonly behind: boolean;
}

/**
 * What an agent does, in order. Events that tell of something committed to the session's log carry the id of its entry: after a crash
 * they are told again from the log, under the same id.
 */
export type AgentEvent =
  /** A request to the model begins; `attempt` counts from 1 for each answer. */
  | { readonly kind: "model_call"; readonly model: string; readonly attempt: number }
  /** A piece of the answer that is being streamed. */
  | { readonly kind: "text"; readonly text: string; readonly thinking: boolean }
  /** The pieces since the last request are void. */
  | { readonly kind: "answer_discarded"; readonly entryId: string; readonly reason: string }
  /** The conversation was summed up: from here on the model reads the summary, and what came last. */
  | {
      readonly kind: "compacted";
      readonly entryId: string;
      /** As far as they are known. */
      readonly tokensBefore: number;
      /** It had grown long, or the model refused it for its length. */
      readonly reason: "threshold" | "overflow";
    }
  | { readonly kind: "answer"; readonly entryId: string; readonly text: string; readonly toolCalls: number }
  | {
      readonly kind: "tool_started";
      readonly invocationId: string;
      readonly tool: string;
      readonly args: unknown;
      /** It began in an agent that is gone, and goes on. */
      readonly resumed: boolean;
    }
  /** All that a running tool shows now. */
  | { readonly kind: "tool_output"; readonly invocationId: string; readonly text: string }
  | { readonly kind: "tool_ended"; readonly invocationId: string; readonly tool: string; readonly text: string; readonly isError: boolean }
  /** The workspace was stored under this id. */
  | { readonly kind: "snapshot_taken"; readonly snapshotId: string }
  /** The workspace was lost and made again; told again by every agent of the same leaf. */
  | ({ readonly kind: "workspace_restored" } & Restored)
  /** What the operation used since its beginning. */
  | { readonly kind: "usage"; readonly usage: AgentUsage };
