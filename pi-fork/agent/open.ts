import { AgentHarness, type AgentLane, BACKGROUND_CONTEXT as CONTEXT, type Session } from "@earendil-works/pi-agent-core";
import type { WorkspaceClient } from "@serverless-harness/hands/client";
import { HandsExecutionEnv } from "../env/hands-env.ts";
import type { ModelRegistry, ResolvedModel } from "../models/registry.ts";
import { createTools } from "../tools/index.ts";
import type { ToolContext } from "../tools/tool.ts";
import { Agent, type AgentLimits } from "./agent.ts";
import type { AgentEvent } from "./events.ts";
import { Narrator } from "./narrator.ts";
import { PI_RETRY } from "./retry.ts";
import { systemPrompt } from "./system-prompt.ts";

/** What an agent works with. */
export interface AgentOptions {
  /** The session, open; closed with the agent. */
  readonly session: Session;
  readonly workspace: WorkspaceClient;
  /** Absolute path of the workspace, as a command in it sees it. */
  readonly workspacePath: string;
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
 * An agent on a session, ready to run. Nothing is started. Throws NOT_FOUND `unknown_provider` or `unknown_model`, and
 * FAILED_PRECONDITION `missing_api_key`.
 */
export async function openAgent(options: AgentOptions): Promise<Agent> {
  const { session, workspace, workspacePath, registry, limits } = options;
  const resolved = await registry.resolve(options.model);
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
