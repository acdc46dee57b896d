import type { Caller } from "../callers/caller.ts";

/** What an act is about: ids, names and numbers, never what somebody wrote or a secret. */
export type Detail = string | number | boolean | readonly string[] | undefined;
export type Details = Readonly<Record<string, Detail>>;

/** What can be done through the front door, and is written down. */
export type Action =
  | "gate.decide"
  | `leaf.${"cancel" | "redrive" | "send" | "submit"}`
  | `sandbox.${"attach" | "drain" | "remove" | "undrain"}`
  | `schedule.${"create" | "delete" | "pause" | "resume" | "run" | "update"}`
  | `token.${"create" | "revoke"}`
  | "webhook.resend";

/** Keeps a record of who did what, and of what was refused. */
export interface Audit {
  /**
   * Do `work` for a caller and write down both that it was asked for, before, and how it ended: a process that is killed between both leaves the first. `outcome`: what
   * is only known then. UNAVAILABLE `audit_unavailable`, with nothing done, if it can't be written down and the operator wants nothing done then.
   */
  act<T>(caller: Caller, act: Details & { readonly action: Action }, work: () => Promise<T>, outcome?: (result: T) => Details): Promise<T>;
  /** Something was done without a call: the operator changed a file. */
  noted(action: "webhooks.changed", details: Details): void;
  /** Somebody was refused for what their token is, or is not. `caller`: absent if no valid token came. */
  denied(caller: Caller | undefined, call: string, reason: string): void;
  /** Why nothing can be written down now, and whether calls are refused for it. `undefined`: all is well. */
  problem(): { readonly text: string; readonly refuses: boolean } | undefined;
}

/** Nothing is written down. */
export const NO_AUDIT: Audit = {
  act: (_caller, _act, work) => work(),
  noted: () => undefined,
  denied: () => undefined,
  problem: () => undefined,
};
