/** The agent: Pi, assembled over our session, sandbox and models. Nothing else of the house knows Pi. */
export type { Agent } from "./agent/agent.ts";
export type { AgentLimits } from "./agent/budget.ts";
export type { AgentEvent } from "./agent/events.ts";
export type { AgentFailure } from "./agent/failure.ts";
export type { MessageSource } from "./agent/inbox.ts";
export { type AgentOptions, openAgent, type ThinkingLevel } from "./agent/open.ts";
export type { RunOutcome } from "./agent/outcome.ts";
export type { Rest } from "./agent/rest.ts";
export type { AgentUsage } from "./agent/usage.ts";
export type { WorkspaceHome } from "./agent/workspace-log.ts";
export { ModelRegistry } from "./models/registry.ts";
export type { Expiry } from "./sessions/archive/expiry.ts";
export { readArchive, writeArchive } from "./sessions/archive/file.ts";
export type { LeafEvents, Ride } from "./sessions/leaf-events.ts";
export { openPiSessions } from "./sessions/open.ts";
export type { PiSessions, SessionName } from "./sessions/sessions.ts";
export type { GateKeeper } from "./tools/gates.ts";
export type { ResultWish, Submission } from "./tools/submit.ts";
