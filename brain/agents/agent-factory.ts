import { Code } from "@connectrpc/connect";
import type { CreateOptions } from "@serverless-harness/hands/client";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { AgentLimits, ThinkingLevel as AgentThinking, ModelRegistry, PiSessions } from "@serverless-harness/pi-fork";
import { LeafKind, type LeafSpec, ThinkingLevel } from "@serverless-harness/proto/leaf";
import { type Claim, deadlineOf, type LeafStore, sessionKey } from "@serverless-harness/session";
import { type BrainConfig, POOL } from "../config.ts";
import { readSolution, requireRepository } from "../kinds/solution.ts";
import { resultWish } from "../kinds/task.ts";
import type { AgentSeams, OpenAgent } from "../leaf/agent-seams.ts";
import { copiedWorkspaces, forkSource, requireConversation } from "./conversation.ts";
import { type ClaimedSandbox, Hands } from "./hands.ts";
import { LeafWorkspace, type Move } from "./leaf-workspace.ts";

const DEFAULT_MAX_MODEL_CALLS = 200;

const THINKING: Readonly<Record<ThinkingLevel, AgentThinking>> = {
  [ThinkingLevel.UNSPECIFIED]: "off",
  [ThinkingLevel.OFF]: "off",
  [ThinkingLevel.LOW]: "low",
  [ThinkingLevel.MEDIUM]: "medium",
  [ThinkingLevel.HIGH]: "high",
};

type PiFork = typeof import("@serverless-harness/pi-fork");

/** What every agent of this process shares, loaded with the first. */
interface Shared {
  readonly openAgent: PiFork["openAgent"];
  readonly registry: ModelRegistry;
  readonly sessions: PiSessions;
}

/** Puts agents together: session, sandbox, model. */
export class AgentFactory {
  readonly #config: BrainConfig;
  readonly #hands: Hands;
  #shared: Promise<Shared> | undefined;

  constructor(config: BrainConfig, log: Logger) {
    this.#config = config;
    this.#hands = new Hands(config, log);
  }

  /** Load what agents share, which takes longer than all the rest, ahead of the first. */
  warmUp(): Promise<Shared> {
    this.#shared ??= this.#load();
    return this.#shared;
  }

  /** An agent for a claimed leaf, ready to run. */
  async open(
    claim: Claim,
    { on, flush, events, ask, messages, onPlaced, onAway }: AgentSeams,
    store: Pick<LeafStore, "list" | "sandboxes">,
    log: Logger,
  ): Promise<OpenAgent> {
    requireUsable(claim.leaf.spec);
    const forks = claim.leaf.spec?.fork !== undefined;
    // The workspace of a fork is a copy, which is made once.
    if (forks) await requireConversation((await this.warmUp()).sessions, store, claim);
    const { leaf, fence } = claim;
    const { wakeUrl, sleepAfterMs, snapshots } = this.#config;
    const name = sessionKey(fence);
    const hasPool = this.#config.handsUrl === POOL;
    const opening = this.#hands.open(claim, hasPool ? { sandboxes: store.sandboxes, onAway, log } : undefined);
    this.warmUp().catch(() => undefined);
    const sandbox = await opening;
    const { room } = sandbox;
    if (room !== undefined) onPlaced(room.placement);
    const workspace = sandbox.client.workspace(name, fence.epoch);
    // Asked for before the rest is loaded, which takes longer.
    const lifecycle = new LeafWorkspace({
      leafId: leaf.leafId,
      workspace,
      maker: sandbox.maker.workspace(name, fence.epoch),
      source: sourceOf(claim),
      snapshots,
      move: moveOf(sandbox, claim),
      log,
    });
    const workspacePath = lifecycle.workspace.then(({ path, baseCommit }) => {
      if (leaf.spec?.kind === LeafKind.SOLVE) requireRepository(baseCommit);
      return path;
    });
    workspacePath.catch(() => undefined);
    const result = resultWish(leaf.spec);
    try {
      const { registry, sessions, openAgent } = await this.warmUp();
      if (!forks) await requireConversation(sessions, store, claim);
      const agent = await openAgent({
        sessions,
        fence,
        leafEvents: events,
        workspace,
        workspacePath,
        lifecycle,
        fork: forkSource(claim, lifecycle),
        endExec: (execId) => sandbox.endExec(execId),
        registry,
        model: leaf.spec?.model || this.#config.model,
        systemPrompt: leaf.spec?.systemPrompt ?? "",
        limits: limitsOf(claim),
        images: leaf.spec?.images,
        traceParent: leaf.spec?.traceParent ?? "",
        thinking: THINKING[leaf.spec?.thinking ?? ThinkingLevel.UNSPECIFIED] ?? "off",
        ...(result === undefined ? {} : { result }),
        // If nobody could wake it, a leaf keeps its brain.
        sleepAfterMs: wakeUrl === undefined ? undefined : sleepAfterMs,
        gatePolicy: leaf.spec?.gates,
        ask,
        messages,
        flush,
        on,
      });
      return {
        agent,
        solution: async () => readSolution(workspace, (await lifecycle.workspace).baseCommit),
        snapshot: (snapshotId) => lifecycle.snapshot(snapshotId),
        notifyEnd: (execId, body) => workspace.notifyEnd(execId, wakeUrl ?? "", body),
        keepRoom: async (keepMs) => room?.leave(keepMs),
        close: () => {
          // The agent waits for what it asked of its sandbox.
          if (room?.isGone === true) sandbox.close();
          return agent.close().finally(() => sandbox.close());
        },
      };
    } catch (error) {
      sandbox.close();
      throw error;
    }
  }

  /** Close what agents shared. */
  async close(): Promise<void> {
    const shared = await this.#shared?.catch(() => undefined);
    this.#hands.close();
    await shared?.sessions.close();
  }

  async #load(): Promise<Shared> {
    const { ModelRegistry, openAgent, openPiSessions } = await import("@serverless-harness/pi-fork");
    return {
      openAgent,
      registry: new ModelRegistry(this.#config.modelEnvironment, this.#config.modelSilenceMs),
      sessions: openPiSessions(this.#config.leafStore),
    };
  }
}

/** How a session came to its place in the pool; `undefined` if it was here before, or if there is one sandbox for all. */
function moveOf({ room, from }: ClaimedSandbox, { fence }: Claim): Move | undefined {
  if (room === undefined) return undefined;
  const { isNew, moved, left, snapshotId } = room.placement;
  const isUnsettled = moved !== undefined || left !== undefined || snapshotId !== undefined;
  if (!isNew && !isUnsettled) return undefined;
  return {
    takenSince: snapshotId,
    from: from?.workspace(sessionKey(fence), fence.epoch),
    settled: isUnsettled ? () => room.settled() : undefined,
  };
}

function limitsOf({ leaf }: Claim): AgentLimits {
  const { maxModelCalls = 0, maxToolTurns = 0, maxTokens = 0n, maxCostMicroUsd = 0n } = leaf.spec?.limits ?? {};
  const deadlineMs = deadlineOf(leaf);
  return {
    maxModelCalls: maxModelCalls || DEFAULT_MAX_MODEL_CALLS,
    ...(maxToolTurns > 0 ? { maxToolTurns } : {}),
    ...(maxTokens > 0n ? { maxTokens: Number(maxTokens) } : {}),
    ...(maxCostMicroUsd > 0n ? { maxCostMicroUsd: Number(maxCostMicroUsd) } : {}),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  };
}

/** INVALID_ARGUMENT `unusable` if it is known since the submission that the leaf can't be worked on. */
function requireUsable(spec: LeafSpec | undefined): void {
  if (spec !== undefined && spec.unusable !== "") throw new HarnessError(Code.InvalidArgument, "unusable", spec.unusable);
}

/** What a session's workspace is made from where it does not exist yet. */
function sourceOf(claim: Claim): CreateOptions {
  const [original] = copiedWorkspaces(claim);
  if (original !== undefined) return { source: { kind: "copy", workspace: original } };
  const { repository } = claim.leaf.spec ?? {};
  return repository === undefined ? {} : { source: { kind: "git", url: repository.url, ref: repository.ref } };
}
