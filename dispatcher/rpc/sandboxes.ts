import { Code, type ServiceImpl } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { Validation } from "@serverless-harness/kit/validate";
import type { Sandbox, SandboxService } from "@serverless-harness/proto/leaf";
import { type LeafStore, sandboxNotFound } from "@serverless-harness/session";
import type { Action, Audit } from "../audit/audit.ts";
import { FOREIGN } from "../audit/denials.ts";
import { type Caller, callerOf, isSandbox, owns, requireScope, servedTenant } from "../callers/caller.ts";

type Store = Pick<LeafStore, "sandboxes">;

/** The RPCs of SandboxService. `hasPool`: false refuses them all. */
export function sandboxRpcs(store: Store, hasPool: boolean, audit: Audit): ServiceImpl<typeof SandboxService> {
  const pool = { store, hasPool };
  const drain = async (caller: Caller, name: string, draining: boolean): Promise<{ sandbox: Sandbox }> => {
    await find(pool, caller, name);
    const act = acted(draining ? "sandbox.drain" : "sandbox.undrain", name);
    return { sandbox: await audit.act(caller, act, () => store.sandboxes.drain(name, draining)) };
  };
  return {
    listSandboxes: async (_request, context) => {
      const caller = callerOf(context);
      requirePool(pool, caller);
      const { sandboxes, nowMs } = await store.sandboxes.list();
      return { sandboxes: sandboxes.filter((sandbox) => sees(caller, sandbox)), nowMs: BigInt(Math.floor(nowMs)) };
    },
    drainSandbox: ({ name }, context) => drain(callerOf(context), name, true),
    undrainSandbox: ({ name }, context) => drain(callerOf(context), name, false),
    removeSandbox: async ({ name, force }, context) => {
      const caller = callerOf(context);
      const { placed, isThere } = await find(pool, caller, name);
      if (isThere && placed > 0 && !force) throw inUse(name, placed);
      await audit.act(
        caller,
        acted("sandbox.remove", name),
        () => store.sandboxes.remove(name),
        () => ({ sessions: placed }),
      );
      return { sessions: placed };
    },
  };
}

/** An admin's are those of its tenant. A sandbox that dialled in has itself: one of its name that was found elsewhere is not it. */
function sees(caller: Caller, { name, tenant, address }: Sandbox): boolean {
  if (caller.scopes.has("admin") && owns(caller, tenant)) return true;
  return isSandbox(caller, name) && servedTenant(caller) === tenant && address.endsWith(`/v1/sandboxes/${name}/rpc`);
}

/** PERMISSION_DENIED without the scope, FAILED_PRECONDITION without a pool. */
function requirePool({ hasPool }: { readonly hasPool: boolean }, caller: Caller): void {
  if (!caller.scopes.has("sandboxes:serve")) requireScope(caller, "admin");
  if (hasPool) return;
  const text = "this dispatcher has no pool of sandboxes: set HANDS_URL=pool where it starts";
  throw new HarnessError(Code.FailedPrecondition, "no_pool", text);
}

/** The sandbox that a request names. One that is not the caller's is not there; those that serve everybody are the operator's. */
async function find(
  pool: { readonly store: Store; readonly hasPool: boolean },
  caller: Caller,
  name: string,
): Promise<Sandbox & { readonly isThere: boolean }> {
  requirePool(pool, caller);
  const v = new Validation();
  v.name("name", name);
  v.done();
  const { sandboxes, nowMs } = await pool.store.sandboxes.list();
  const found = sandboxes.find((each) => each.name === name);
  if (found === undefined || !sees(caller, found)) throw sandboxNotFound(name, found && FOREIGN);
  return { ...found, isThere: found.aliveUntilMs > BigInt(Math.floor(nowMs)) };
}

function acted(action: Action, sandbox: string): { readonly action: Action; readonly sandbox: string } {
  return { action, sandbox };
}

function inUse(name: string, sessions: number): HarnessError {
  const text = `${name} is there and has ${sessions} sessions: drain it and wait until it is empty, or force it, which costs them what changed since their last snapshots`;
  return new HarnessError(Code.FailedPrecondition, "sandbox_in_use", text, { metadata: { sessions: String(sessions) } });
}
