import { EventEmitter } from "node:events";
import { Code } from "@connectrpc/connect";
import { AgentHarness, type AgentLane, BACKGROUND_CONTEXT as CONTEXT, type Session } from "@earendil-works/pi-agent-core";
import { type Api, calculateCost, clampThinkingLevel, type ImageContent, type Model } from "@earendil-works/pi-ai";
import type { WorkspaceClient } from "@serverless-harness/hands/client";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { GatePolicy } from "@serverless-harness/proto/leaf";
import type { Fence } from "@serverless-harness/session";
import { HandsExecutionEnv } from "../env/hands-env.ts";
import { Instructions, readInstructions } from "../instructions/instructions.ts";
import type { ModelRegistry, ResolvedModel } from "../models/registry.ts";
import type { Forked } from "../sessions/contract/fork.ts";
import type { LeafEvents } from "../sessions/contract/leaf-events.ts";
import type { PiSessions } from "../sessions/contract/sessions.ts";
import { type GateKeeper, Gates } from "../tools/gates.ts";
import { createTools } from "../tools/index.ts";
import { type ResultWish, showingSchema } from "../tools/submit.ts";
import type { ToolContext } from "../tools/tool.ts";
import { Agent, type AgentSignals } from "./agent.ts";
import { Compactor, compactionSettings } from "./compaction/compactor.ts";
import { HistoryReader } from "./compaction/operation-history.ts";
import { Summaries } from "./compaction/summaries.ts";
import { type MessageSource, SILENCE } from "./inbox.ts";
import type { AgentEvent } from "./log/events.ts";
import { ExpectedResult } from "./narration/expected-result.ts";
import { Narrator } from "./narration/narrator.ts";
import { UnfinishedAnswers } from "./narration/unfinished.ts";
import { PI_RETRY } from "./retry.ts";
import { systemPrompt } from "./system-prompt.ts";
import type { AgentLimits } from "./usage/budget.ts";
import { InterruptedAnswers, type Price } from "./usage/interrupted.ts";
import type { ForkOrigin, ForkSource } from "./workspace/notices.ts";
import { openWorkspaceLog } from "./workspace/recovery.ts";
import type { WorkspaceLifecycle, WorkspaceLog } from "./workspace/workspace-log.ts";

/** How much a model thinks before it answers. */
export type ThinkingLevel = "off" | "low" | "medium" | "high";

/** What an agent works with. */
export interface AgentOptions {
  readonly sessions: PiSessions;
  /** Names the session, and this owner of it. */
  readonly fence: Fence;
  /** Of the leaf that is run: written with the session's commits. Default: the agent commits none. */
  readonly leafEvents?: LeafEvents;
  readonly workspace: WorkspaceClient;
  /** Absolute path of the workspace, as a command in it sees it; resolves when the workspace is there. */
  readonly workspacePath: Promise<string>;
  /** End an exec of the workspace that an agent which is gone had started. Succeeds if there is none of that id. */
  readonly endExec: (execId: string) => Promise<void>;
  readonly registry: ModelRegistry;
  /** As `provider/model`. */
  readonly model: string;
  /** Put before the agent's own instructions. */
  readonly systemPrompt: string;
  readonly limits: AgentLimits;
  /** The structured result that the run has to bring. Absent: its last words are its result. */
  readonly result?: ResultWish;
  /** How much the model thinks, as far as it can. Default: not at all. */
  readonly thinking?: ThinkingLevel;
  /** A command that has run for this many milliseconds is not waited for: the agent closes, and goes on when it is run again. Default: it is. */
  readonly sleepAfterMs?: number | undefined;
  /** Go with the prompt. INVALID_ARGUMENT `images_not_supported` if the model takes none. Default: none. */
  readonly images?: readonly Picture[] | undefined;
  /** The trace that the agent's commands belong to, for their environment; empty (default): none. */
  readonly traceParent?: string;
  /** Which calls a human has to approve. */
  readonly gatePolicy?: GatePolicy | undefined;
  /** Ask a human at a gate: the decision, or `undefined` while there is none. Default: there is nobody to ask, and what is asked fails. */
  readonly ask?: GateKeeper["ask"];
  /** Another session of the tenant, whose conversation this one begins with, and whether its files could be had. Default: it begins with nothing. */
  readonly fork?: ForkSource | undefined;
  /** The workspace as a whole, for snapshots and where it was lost. Default: nothing is noted of it. */
  readonly lifecycle?: WorkspaceLifecycle;
  /** What humans say to the agent while it works. Default: nothing. */
  readonly messages?: MessageSource;
  /** Resolves when all that was told is written, and rejects if it can't be: asked before the log is read no further back. */
  readonly flush?: () => Promise<void>;
  /** Told what the agent does, in order. Must not throw. */
  readonly on: (event: AgentEvent) => void;
}

/**
 * An agent on a session, ready to run; nothing is started. The session is closed with the agent. Throws what the session and the
 * workspace throw, and before them, since it needs neither: NOT_FOUND `unknown_provider` or `unknown_model`, and FAILED_PRECONDITION
 * `missing_api_key`.
 */
export async function openAgent(options: AgentOptions): Promise<Agent> {
  // It is waited for last, and nobody may have come so far when it fails.
  options.workspacePath.catch(() => undefined);
  const resolved = await options.registry.resolve(options.model);
  const read = async (): Promise<string> => readInstructions(options.workspace, await options.workspacePath);
  const early = read();
  early.catch(() => undefined);
  const images = imagesFor(resolved.model, options.images ?? []);
  const { fork } = options;
  const forked = fork && (await options.sessions.fork(fork.from, fork.entryId, options.fence));
  const session = await options.sessions.open(options.fence, options.leafEvents);
  try {
    const { lifecycle } = options;
    const log = lifecycle === undefined ? undefined : await openWorkspaceLog(session, lifecycle, await originOf(options, forked));
    if (log?.restored !== undefined) options.on({ kind: "workspace_restored", ...log.restored });
    const instructions = new Instructions(session, read, early);
    if (log?.restored !== undefined) instructions.changed();
    return await assemble(options, resolved, session, await options.workspacePath, images, log, instructions);
  } catch (error) {
    await session.close(CONTEXT).catch(() => undefined);
    throw error;
  }
}

async function assemble(
  options: AgentOptions,
  resolved: ResolvedModel,
  session: Session,
  workspacePath: string,
  images: ImageContent[],
  workspaceLog: WorkspaceLog | undefined,
  instructions: Instructions,
): Promise<Agent> {
  const { workspace, limits, result } = options;
  const expected = result === undefined ? undefined : new ExpectedResult(result.tool);
  const prompt = systemPrompt(options.systemPrompt, workspacePath, result?.tool);
  const words = (): string => [prompt, instructions.text].filter((text) => text !== "").join("\n\n");
  const unfinished = new UnfinishedAnswers(result !== undefined);
  const summaries = new Summaries();
  const price = priceOf(resolved);
  const signals: AgentSignals = new EventEmitter();
  const env = new HandsExecutionEnv({
    workspace,
    cwd: workspacePath,
    traceParent: options.traceParent,
    onLost: (error) => signals.emit("lost", error),
    onStarted: (execId, ranForMs, silentMs) => signals.emit("command", execId, ranForMs, silentMs),
  });
  const narrator: Narrator = new Narrator(
    (event) => {
      options.on(event);
      if (event.kind === "tool_started") signals.emit("calls");
    },
    new InterruptedAnswers(() => words() + wordsOf(tools) + JSON.stringify(result?.schema ?? {}), price),
    expected,
    unfinished,
  );
  const keeper: GateKeeper = {
    ask: options.ask ?? (() => Promise.reject(new Error("there is nobody to ask for approval"))),
    waits: (gateId) => signals.emit("held", gateId),
    aborted: () => signals.emit("aborted"),
  };
  const isOver = (): boolean => narrator.usage.modelCalls > (limits.maxToolTurns ?? Number.POSITIVE_INFINITY);
  const tools = createTools(narrator, new Gates(keeper, options.gatePolicy, expected), result, workspaceLog, isOver);
  const { harness } = await AgentHarness.create<ToolContext>(
    {
      session,
      models: showingSchema(summaries.watch(resolved.models), result),
      model: resolved.model,
      tools,
      toolContext: { env },
      systemPrompt: words,
      retry: PI_RETRY,
      compaction: compactionSettings(resolved.model.contextWindow),
    },
    CONTEXT,
  );
  const lane = await harness.lane("main", { createAt: null }, CONTEXT);
  await configure(
    lane,
    resolved,
    tools.map((tool) => tool.name),
    options,
  );
  narrator.attach(harness);
  harness.events.on("compaction_end", ({ status }) => {
    if (status === "completed") summaries.done();
  });
  const flush = options.flush ?? (async () => undefined);
  new Compactor({ lane, session, narrator, expected, summaries, flush }).attach(harness);
  harness.events.on("tool_end", () => void signals.emit("calls"));
  const { sleepAfterMs, endExec, messages = SILENCE } = options;
  const history = new HistoryReader({ lane, session, summaries, expected, price });
  const told = { narrator, history, summaries, expected, unfinished, signals };
  return new Agent({ harness, lane, session, ...told, limits, sleepAfterMs, endExec, images, workspaceLog, instructions, messages });
}

/** What a forked session's agent has to know of its begin. */
async function originOf({ fork, workspacePath }: AgentOptions, forked: Forked | undefined): Promise<ForkOrigin | undefined> {
  if (fork === undefined || forked === undefined) return undefined;
  return { ...forked, copied: await fork.copied, path: await workspacePath, lacks: await fork.lacks };
}

/** A lane remembers the model, the thinking and the tools that it was made with; an open operation goes on with its own model. */
async function configure(lane: AgentLane, { model }: ResolvedModel, tools: string[], options: AgentOptions): Promise<void> {
  const { registry, thinking = "off" } = options;
  const { configuredModel, current } = await lane.inspectExecution(CONTEXT);
  if (current?.capturedModel !== undefined) await registry.load(current.capturedModel.provider);
  if (configuredModel.provider !== model.provider || configuredModel.modelId !== model.id) {
    await lane.setModel({ provider: model.provider, modelId: model.id }, CONTEXT);
  }
  const level = clampThinkingLevel(model, thinking);
  if ((await lane.getThinkingLevel(CONTEXT)) !== level) await lane.setThinkingLevel(level, CONTEXT);
  const active = await lane.getActiveTools(CONTEXT);
  if (active.join() !== tools.join()) await lane.setActiveTools(tools, CONTEXT);
}

/** What the model reads about its tools. */
function wordsOf(tools: ReturnType<typeof createTools>): string {
  return JSON.stringify(tools.map(({ name, description, parameters }) => ({ name, description, parameters })));
}

/** By pi-ai's price list; nothing for a model that it does not know. */
function priceOf({ models }: ResolvedModel): Price {
  return (provider, modelId, usage) => {
    const model = models.getModel(provider, modelId);
    return model === undefined ? usage.cost : calculateCost(model, usage);
  };
}

/** A picture that goes with a prompt. */
export interface Picture {
  /** As `image/png`. */
  readonly mediaType: string;
  readonly data: Uint8Array;
}

/**
 * The pictures as the model gets them. INVALID_ARGUMENT `images_not_supported` if it takes none: left out, it would answer as if nobody had
 * shown it anything.
 */
function imagesFor(model: Model<Api>, pictures: readonly Picture[]): ImageContent[] {
  if (pictures.length > 0 && !model.input.includes("image")) {
    const message = `the model ${model.provider}/${model.id} takes no pictures: choose one that does, or send text only`;
    throw new HarnessError(Code.InvalidArgument, "images_not_supported", message);
  }
  return pictures.map(({ mediaType, data }) => ({ type: "image", mimeType: mediaType, data: Buffer.from(data).toString("base64") }));
}
