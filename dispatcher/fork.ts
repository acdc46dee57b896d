import type { Validation } from "@serverless-harness/kit/validate";
import { LeafKind, type LeafSpec } from "@serverless-harness/proto/leaf";
import { type LeafStore, sessionNotFound } from "@serverless-harness/session";

const ENTRY_ID = /^[\x21-\x7e]{0,128}$/;

/** Check where a leaf's conversation begins. */
export function checkFork(v: Validation, { fork, kind, sessionMustExist, repository }: LeafSpec): void {
  if (fork === undefined) return;
  v.name("spec.fork.session_id", fork.sessionId);
  v.check(
    "spec.fork.entry_id",
    ENTRY_ID.test(fork.entryId),
    "must be an entry's id as an Answer event tells it, or be empty for the newest",
  );
  v.check("spec.session_must_exist", !sessionMustExist, "must not be set with spec.fork, which begins a new session");
  v.check(
    "spec.kind",
    kind !== LeafKind.SOLVE,
    "must not be LEAF_KIND_SOLVE with spec.fork: a copied workspace has no commit for a patch to be against",
  );
  v.check("spec.repository", repository === undefined, "must not be set with spec.fork: the workspace is a copy of the other session's");
}

/** NOT_FOUND `session_not_found` where a leaf forks a session that its tenant does not have. */
export async function requireSource(store: LeafStore, { tenant, fork }: LeafSpec): Promise<void> {
  if (fork !== undefined && !(await store.sessionExists(tenant, fork.sessionId))) throw sessionNotFound();
}
