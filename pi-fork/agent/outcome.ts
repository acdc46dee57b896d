import type { AgentFailure } from "./failure.ts";

/** How a run of an agent ended. What it used was told in events, the last one before this. */
export type RunOutcome =
  /** The operation is over: it has an answer. */
  | { readonly kind: "completed"; readonly text: string }
  /** Nothing more can come of it. */
  | { readonly kind: "failed"; readonly failure: AgentFailure }
  /** The operation is open and waits: run it again, not before the time that is given (milliseconds since the Unix epoch). */
  | { readonly kind: "retry"; readonly failure: AgentFailure; readonly notBeforeMs?: number }
  /** It was cancelled, by {@link Agent.cancel}. */
  | { readonly kind: "cancelled" }
  /** The agent was closed; the operation is open, and what runs in the sandbox goes on. */
  | { readonly kind: "suspended" }
  /** The session or the workspace has a newer owner: nothing more may be written anywhere. */
  | { readonly kind: "superseded" };
