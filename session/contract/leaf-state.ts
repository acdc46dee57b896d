import { LeafState } from "@serverless-harness/proto/leaf";

const TERMINAL: ReadonlySet<LeafState> = new Set([LeafState.DONE, LeafState.FAILED, LeafState.CANCELLED, LeafState.ABORTED]);

/** The leaf is over: its state never changes again by itself. */
export function isTerminal(state: LeafState): boolean {
  return TERMINAL.has(state);
}

/** The name of a session beyond its tenant, in the log and as a workspace. No name holds a slash, so none collide. */
export function sessionKey(session: { readonly tenant: string; readonly sessionId: string }): string {
  return `${session.tenant}/${session.sessionId}`;
}
