import { Code, type ServiceImpl } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { Validation } from "@serverless-harness/kit/validate";
import type { SandboxAccessService } from "@serverless-harness/proto/brain";
import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { type LeafStore, sessionKey } from "@serverless-harness/session";
import type { SandboxKeys } from "../sandbox/sandbox.ts";

/** What a brain shows of its claim. */
interface Claimed {
  readonly leafId: string;
  readonly epoch: bigint;
  readonly worker: string;
}

/** The RPC of SandboxAccessService: tokens for the sandbox, for whoever runs a leaf. `keys`: absent: there are none. */
export function sandboxAccessRpcs(store: Pick<LeafStore, "get">, keys: SandboxKeys | undefined): ServiceImpl<typeof SandboxAccessService> {
  return {
    grant: async ({ refusedAsExpired, sandbox, ...claimed }) => {
      requireAll(claimed);
      if (keys === undefined || !keys.mintsTokens) throw noKey();
      const leaf = await store.get(claimed.leafId);
      if (leaf === undefined || !isHeld(leaf, claimed)) throw stale(claimed);
      const { tenant = "", sessionId = "", fork } = leaf.spec ?? {};
      const own = sessionKey({ tenant, sessionId });
      if (refusedAsExpired) await keys.learnClock(sandbox);
      const token = await keys.makeToken(claimed.worker, { scopes: [own], epoch: claimed.epoch }, sandbox);
      // One with an epoch covers a single workspace.
      const both = fork && [own, sessionKey({ tenant, sessionId: fork.sessionId })];
      const makingToken =
        both === undefined ? "" : await keys.makeToken(claimed.worker, { scopes: both, operations: ["workspaces"] }, sandbox);
      return { token, makingToken, lifeMs: BigInt(keys.tokenLifeMs) };
    },
  };
}

/** This worker runs it under this epoch. A claim whose lease has just ended is held until another one takes the leaf: its next heartbeat may be on the way. */
function isHeld(leaf: Leaf, { epoch, worker }: Claimed): boolean {
  return leaf.state === LeafState.RUNNING && leaf.epoch === epoch && leaf.worker?.name === worker;
}

function requireAll({ leafId, epoch, worker }: Claimed): void {
  const valid = new Validation();
  if (leafId === "") valid.fail("leaf_id", "must name the leaf that was claimed");
  if (worker === "") valid.fail("worker", "must name the worker that claimed it");
  if (epoch <= 0n) valid.fail("epoch", "must be the epoch that the claim got");
  valid.done();
}

function stale({ leafId, epoch, worker }: Claimed): HarnessError {
  const text = `leaf ${leafId} is not run by ${worker} under epoch ${epoch}: stop, and claim it again`;
  return new HarnessError(Code.FailedPrecondition, "stale_epoch", text);
}

function noKey(): HarnessError {
  const text = "this dispatcher makes no tokens for the sandbox: set HANDS_URL and HANDS_PRIVATE_KEY_FILE where it starts";
  return new HarnessError(Code.FailedPrecondition, "no_sandbox_key", text);
}
