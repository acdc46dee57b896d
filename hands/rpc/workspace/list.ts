import { type Claims, requireScope } from "@serverless-harness/kit/hands-claims";
import { claimsKey } from "../auth.ts";
import { toMessage, type WorkspaceDeps, type WorkspaceRpc } from "./deps.ts";

export function list(deps: WorkspaceDeps): WorkspaceRpc<"list"> {
  return async (_request, context) => {
    const claims = context.values.get(claimsKey);
    const known = deps.workspaces.list().filter(({ name }) => covers(claims, name));
    return { workspaces: await Promise.all(known.map((workspace) => toMessage(deps, workspace))) };
  };
}

/** The caller may know of a workspace; without tokens everybody may. */
function covers(claims: Claims | undefined, name: string): boolean {
  if (claims === undefined) return true;
  try {
    requireScope(claims, name);
    return true;
  } catch {
    return false;
  }
}
