import { createHash } from "node:crypto";

/** What stands for an id that is no name of ours begins so: no name that is taken as it is may. */
const PREFIX = "runs_";
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const SHOWN_CHARACTERS = 48;

/**
 * The session that a caller's id stands for: the id itself if it is a name of ours, else one that is made from it. The same id makes the
 * same name always, and no two ids make the same: `run/i1` and `run-i1` are two sessions.
 */
export function sessionName(id: string): string {
  if (NAME.test(id) && !id.startsWith(PREFIX)) return id;
  const shown = id.replaceAll(/[^A-Za-z0-9]+/g, "-").slice(0, SHOWN_CHARACTERS);
  const hash = createHash("sha256").update(id).digest("hex").slice(0, 40);
  return `${PREFIX}${shown}_${hash}`;
}

/** The id of a run's session, as its envelope says it: that of a tenant begins with the tenant's name. */
export function runId({ tenant, sessionId }: { readonly tenant: string; readonly sessionId: string }): string {
  return tenant === "" ? sessionId : `${tenant}/${sessionId}`;
}
