import { AgentHarness, type AgentLane, BACKGROUND_CONTEXT as CONTEXT, type Session } from "@earendil-works/pi-agent-core";
import type { WorkspaceClient } from "@serverless-harness/hands/client";
import type { Fence } from "@serverless-harness/session";
import { HandsExecutionEnv } from "../env/hands-env.ts";
import type { ModelRegistry, ResolvedModel } from "../models/registry.ts";
import type { LeafEvents } from "../sessions/leaf-events.ts";
import type { PiSessions } from "../sessions/sessions.ts";
import { createTools } from "../tools/index.ts";
import type { ToolContext } from "../tools/tool.ts";
import { Agent, type AgentLimits } from "./agent.ts";
import type { AgentEvent } from "./events.ts";
import { Narrator } from "./narrator.ts";
import { PI_RETRY } from "./retry.ts";
import { systemPrompt } from "./system-prompt.ts";

/** What an agent works with. */
export interface AgentOptions {
  readonly sessions: PiSessions;
  /** Names the session, and this owner of it. */
  readonly fence: Fence;
  /** Of the leaf that is run: written with the session's commits. Default: they are none of the agent's business. */
  readonly leafEvents?: LeafEvents;
  readonly workspace: WorkspaceClient;
  /** Absolute path of the workspace, as a command in it sees it; resolves when the workspace is there. */
  readonly workspacePath: Promise<string>;
  /** End an exec of the workspace that an agent which is gone had started. Succeeds where there is none of that id. */
  readonly endExec: (execId: string) => Promise<void>;
  readonly registry: ModelRegistry;
  /** As `provider/model`. */
  readonly model: string;
  /** Put before the agent's own instructions. */
  readonly systemPrompt: string;
  readonly limits: AgentLimits;
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
  const session = await options.sessions.open(options.fence, options.leafEvents);
  try {
    return await assemble(options, resolved, session, await options.workspacePath);
  } catch (error) {
    await session.close(CONTEXT).catch(() => undefined);
    throw error;
  }
}

async function assemble(options: AgentOptions, resolved: ResolvedModel, session: Session, workspacePath: string): Promise<Agent> {
  const { workspace, registry, limits } = options;
  const narrator = new Narrator(options.on);
  let agent: Agent | undefined;
  const env = new HandsExecutionEnv({ workspace, cwd: workspacePath, onLost: (error) => agent?.lose(error) });
  const tools = createTools(narrator);
  const { harness } = await AgentHarness.create<ToolContext>(
    {
      session,
      models: resolved.models,
      model: resolved.model,
      tools,
      toolContext: { env },
      systemPrompt: systemPrompt(options.systemPrompt, workspacePath),
      retry: PI_RETRY,
    },
    CONTEXT,
  );
  const lane = await harness.lane("main", { createAt: null }, CONTEXT);
  await configure(
    lane,
    resolved,
    tools.map((tool) => tool.name),
    registry,
  );
  narrator.attach(harness);
  agent = new Agent({ harness, lane, session, narrator, limits, endExec: options.endExec });
  return agent;
}

/** A lane remembers the model and the tools that it was made with; an open operation goes on with its own model. */
async function configure(lane: AgentLane, { model }: ResolvedModel, tools: string[], registry: ModelRegistry): Promise<void> {
  const { configuredModel, current } = await lane.inspectExecution(CONTEXT);
  if (current?.capturedModel !== undefined) await registry.load(current.capturedModel.provider);
  if (configuredModel.provider !== model.provider || configuredModel.modelId !== model.id) {
    await lane.setModel({ provider: model.provider, modelId: model.id }, CONTEXT);
  }
  const active = await lane.getActiveTools(CONTEXT);
  if (active.join() !== tools.join()) await lane.setActiveTools(tools, CONTEXT);
}
