import { randomUUID } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { create, type DescMessage, fromJson, type JsonObject, type MessageInitShape, type MessageShape, toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { locate } from "@serverless-harness/kit/paths/locate";
import { errnoOf, pathError } from "@serverless-harness/kit/paths/path-error";
import { FileInfoSchema } from "@serverless-harness/proto/hands";
import type { Durability } from "../fs/durable.ts";
import { describe } from "../fs/file-info.ts";
import { KeyedQueue } from "../fs/keyed-queue.ts";
import { removeTree } from "../fs/remove-tree.ts";
import type { Workspace, Workspaces } from "../workspaces/workspaces.ts";
import { ChangeLog, type Intent, type LogLimits } from "./log.ts";
import { inodeOf, tookPlace } from "./witness.ts";

/** A change that is ready to happen. Everything before {@link commit} leaves the workspace as it is. */
export interface Plan<M extends DescMessage> extends Pick<Intent, "witness" | "target">, AsyncDisposable {
  /** The answer as far as it is known now. */
  readonly draft: MessageInitShape<M>;
  /**
   * Make the effect by one system call, and return the answer. Synchronous, so that nothing of this daemon comes between its last checks
   * and the effect. {@link StalePlan} if what was planned on has changed.
   */
  commit(): MessageInitShape<M>;
  /** Make what the effect needs durable, in front of it. */
  secure?(): Promise<void>;
  /** Make the effect durable. */
  settle(): Promise<void>;
  /** What is left to do once the answer is remembered and the next change may begin. */
  cleanUp?(): Promise<void>;
}

/** There is nothing to do: the answer, at once. */
export interface NoChange<M extends DescMessage> {
  readonly answer: MessageInitShape<M>;
}

export interface Change<M extends DescMessage> {
  /** Chosen by the caller. */
  readonly id: string;
  readonly workspace: Workspace;
  readonly epoch: bigint;
  /** Hash of what is asked for: everything but id and epoch, since a new owner may repeat an old one's call. */
  readonly fingerprint: string;
  readonly schema: M;
  /** What the client calls the path, for errors. */
  readonly path: string;
  /** Called again after a {@link StalePlan}. What it throws is the call's error: nothing happened, nothing is remembered. */
  plan(): Promise<Plan<M> | NoChange<M>> | Plan<M> | NoChange<M>;
}

/** What a plan was made on has changed since. It is planned again. */
export class StalePlan extends Error {
  override readonly name = "StalePlan";
}

/** Errors of an effect that only say that the place changed since the plan was made: the next plan tells what is wrong, if it still is. */
const STALE_ERRORS: ReadonlySet<string | undefined> = new Set(["ENOENT", "EEXIST", "ENOTEMPTY", "ENOTDIR", "EISDIR"]);

/** Plans that are made for one call before it is refused as `busy`. */
const MAX_PLANS = 50;

/** As many workspaces' logs are held in memory. */
const MAX_LOGS = 32;

const DEFAULT_LIMITS: LogLimits = { maxCount: 1000, maxBytes: 8 * 1024 * 1024, maxAgeMs: 7 * 24 * 60 * 60_000 };

/** A point between two steps of a change. */
export type Step = "planned" | "intended" | "committed" | "settled" | "recorded";

export interface ChangesOptions {
  readonly workspaces: Workspaces;
  readonly log: Logger;
  /**
   * What a change that was answered survives: the death of the daemon and the sandbox, or that of the machine too,
   * for some flushes each.
   */
  readonly durability: Durability;
  /** Default: 1000 changes, 8 MiB of answers, 7 days. */
  readonly limits?: Partial<LogLimits>;
  /** Called, and waited for, between the steps of every change, for tests that crash there. */
  readonly failpoint?: (step: Step) => void | Promise<void>;
}

/**
 * Makes changes to workspaces, each at most once per id. What is about to happen is durable before it does, so that after a crash at any
 * instant the next daemon knows whether it did (see {@link Witness}); the answer is remembered, so that a repeated call gets it again.
 * Changes of one workspace happen one after the other; so a call that repeats one under way waits for it.
 */
export class Changes {
  readonly #workspaces: Workspaces;
  readonly #logger: Logger;
  readonly #limits: LogLimits;
  readonly #durability: Durability;
  readonly #failpoint: (step: Step) => void | Promise<void>;
  readonly #queue = new KeyedQueue();
  /** The one used last is the last. */
  readonly #logs = new Map<string, ChangeLog>();
  /** Workspaces whose staging directory holds nothing of an earlier daemon. */
  readonly #cleared = new Set<string>();

  constructor(options: ChangesOptions) {
    this.#workspaces = options.workspaces;
    this.#logger = options.log;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#durability = options.durability;
    this.#failpoint = options.failpoint ?? (() => undefined);
    options.workspaces.beforeDelete((workspace) => this.#forget(workspace));
  }

  /** {@link Changes} of a daemon that starts: a workspace whose log is damaged is set aside. */
  static async open(options: ChangesOptions): Promise<Changes> {
    const { workspaces } = options;
    for (const workspace of workspaces.list()) {
      await ChangeLog.check(logOf(workspace)).catch((error: unknown) => workspaces.setAsideDamaged(workspace.name, error));
    }
    return new Changes(options);
  }

  /** A new path in the workspace's staging directory, for what will be renamed into the workspace. Its user removes it after use. */
  async stage(workspace: Workspace): Promise<string> {
    const { name } = workspace;
    if (!this.#cleared.has(name)) {
      await this.#queue.run(name, async () => {
        this.#workspaces.find(name);
        await this.#log(workspace);
      });
    }
    return join(workspace.stagingDirectory, randomUUID());
  }

  /**
   * Make a change, or return what it returned before under the same id (`replayed`). ALREADY_EXISTS `id_reused` if the id stands for
   * another change; `stale_epoch` if a newer owner has come by the time it would happen.
   */
  async run<M extends DescMessage>(change: Change<M>): Promise<{ answer: MessageShape<M>; replayed: boolean }> {
    const { id, workspace, schema } = change;
    const made = await this.#queue.run(workspace.name, async () => {
      this.#workspaces.fence(workspace.name, change.epoch);
      const log = await this.#log(workspace);
      const known = log.get(id);
      if (known === undefined) return { ...(await this.#make(change, log)), replayed: false };
      if (known.fingerprint !== change.fingerprint) throw idReused(id);
      return { answer: fromJson(schema, known.result), cleanUp: undefined, replayed: true };
    });
    await made.cleanUp?.().catch((error: unknown) => this.#logger.warn({ err: error, change: id }, "a change left something behind"));
    return { answer: create(schema, made.answer), replayed: made.replayed };
  }

  async #make<M extends DescMessage>(change: Change<M>, log: ChangeLog): Promise<Made<M>> {
    let lastCause: unknown;
    for (let attempt = 1; attempt <= MAX_PLANS; attempt++) {
      const plan = await change.plan();
      if ("answer" in plan) {
        await this.#record(change, log, plan.answer);
        return { answer: plan.answer, cleanUp: undefined };
      }
      await using _ = plan;
      try {
        return { answer: await this.#carryOut(change, plan, log), cleanUp: plan.cleanUp?.bind(plan) };
      } catch (error) {
        if (!(error instanceof NotCommitted)) throw error;
        lastCause = error.cause;
      }
    }
    throw lastCause instanceof StalePlan ? pathError("busy", change.path) : lastCause;
  }

  async #carryOut<M extends DescMessage>(change: Change<M>, plan: Plan<M>, log: ChangeLog): Promise<MessageInitShape<M>> {
    const { id, fingerprint, schema } = change;
    const draft = toJson(schema, create(schema, plan.draft)) as JsonObject;
    const target = plan.target === undefined ? {} : { target: plan.target };
    const lasts = this.#durability === "machine";
    if (lasts) await plan.secure?.();
    await this.#failpoint("planned");
    await log.intend({ id, fingerprint, atMs: Date.now(), witness: plan.witness, draft, ...target });
    await this.#failpoint("intended");
    let answer: MessageInitShape<M>;
    try {
      this.#workspaces.fence(change.workspace.name, change.epoch);
      answer = plan.commit();
    } catch (error) {
      await log.withdraw(id);
      if (error instanceof StalePlan || STALE_ERRORS.has(errnoOf(error))) throw new NotCommitted("not committed", { cause: error });
      throw error;
    }
    await this.#failpoint("committed");
    if (lasts) await plan.settle();
    await this.#failpoint("settled");
    await this.#record(change, log, answer);
    await this.#failpoint("recorded");
    return answer;
  }

  /** The change has happened, so that its caller is told so even if the disk can't take the answer: its intent is enough to know. */
  async #record<M extends DescMessage>({ id, fingerprint, schema }: Change<M>, log: ChangeLog, answer: MessageInitShape<M>): Promise<void> {
    const result = toJson(schema, create(schema, answer)) as JsonObject;
    await log.record({ id, fingerprint, atMs: Date.now(), result }).catch((error: unknown) => {
      this.#logger.error({ err: error, change: id }, "the answer of a change could not be recorded");
    });
  }

  async #log(workspace: Workspace): Promise<ChangeLog> {
    const { name } = workspace;
    const log = this.#logs.get(name) ?? (await ChangeLog.load(logOf(workspace), this.#limits, this.#durability));
    await decideOpen(log, workspace);
    if (!this.#cleared.has(name)) await clearStaging(workspace);
    this.#cleared.add(name);
    this.#logs.delete(name);
    this.#logs.set(name, log);
    for (const oldest of this.#logs.keys()) {
      if (this.#logs.size <= MAX_LOGS) break;
      this.#logs.delete(oldest);
    }
    return log;
  }

  /** Wait for what is under way in a workspace that will be deleted. */
  async #forget(workspace: Workspace): Promise<void> {
    await this.#queue.run(workspace.name, async () => {
      this.#logs.delete(workspace.name);
      this.#cleared.delete(workspace.name);
    });
  }
}

function logOf(workspace: Workspace): string {
  return join(workspace.stateDirectory, "changes.jsonl");
}

/** The effect did not take place, since the place has changed since it was planned. */
class NotCommitted extends Error {
  override readonly name = "NotCommitted";
}

interface Made<M extends DescMessage> {
  readonly answer: MessageInitShape<M>;
  readonly cleanUp: (() => Promise<void>) | undefined;
}

function idReused(id: string): HarnessError {
  return new HarnessError(
    Code.AlreadyExists,
    "id_reused",
    `change ${id} was another change: use a new id for a new change, and the same content for a repeated one`,
  );
}

/** Decide about every change that was under way when the daemon died: it happened, or it did not. */
async function decideOpen(log: ChangeLog, workspace: Workspace): Promise<void> {
  for (const intent of log.open) {
    if (!tookPlace(intent.witness, workspace)) await log.withdraw(intent.id);
    else await log.record({ ...intent, result: answerNow(intent, workspace) });
  }
}

/** Empty the staging directory, or make it. Only once everything in it has been decided about. */
async function clearStaging(workspace: Workspace): Promise<void> {
  await mkdir(workspace.stagingDirectory, { recursive: true, mode: 0o700 });
  for (const entry of await readdir(workspace.stagingDirectory)) await removeTree(join(workspace.stagingDirectory, entry));
}

/**
 * What the caller would have been told. The times of a file move with the rename itself, so they are read from the file; if it has been
 * replaced since, the draft's stay, whose ETag matches nothing.
 */
function answerNow({ draft, target }: Intent, workspace: Workspace): JsonObject {
  if (target === undefined) return draft;
  try {
    using location = locate([workspace], target.path, { follow: false });
    const stat = location.entry?.stat();
    if (stat === undefined || inodeOf(stat) !== target.inode) return draft;
    const shown = (draft["file"] as JsonObject)["path"] as string;
    return { ...draft, file: toJson(FileInfoSchema, create(FileInfoSchema, describe(stat, shown))) };
  } catch {
    return draft;
  }
}
