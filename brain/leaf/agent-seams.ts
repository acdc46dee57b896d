import type { Agent, AgentEvent, AgentFailure, GateKeeper, LeafEvents, MessageSource } from "@serverless-harness/pi-fork";
import type { Placement } from "@serverless-harness/session";
import type { Solution } from "../kinds/solution.ts";

/** An agent and what it stands on. */
export interface OpenAgent {
  readonly agent: Agent;
  /** What was changed in the workspace since it was made from its repository, or why that can't be delivered. */
  solution(): Promise<Solution | AgentFailure>;
  /** Store the workspace under an id. */
  snapshot(snapshotId: string): Promise<void>;
  /** Have hands post a text when one of its commands has ended. */
  notifyEnd(execId: string, body: string): Promise<void>;
  /** Keep the session's room in its sandbox for `keepMs` from now; otherwise it is kept for as long as if the brain had died. Never rejects. */
  keepRoom(keepMs: number): Promise<void>;
  /** Close the agent, its session and its way to the sandbox, where everything goes on. */
  close(): Promise<void>;
}

/** How an agent reaches its leaf. */
export interface AgentSeams {
  /** Told what the agent does. */
  readonly on: (event: AgentEvent) => void;
  /** All that it was told is written, or it rejects. */
  readonly flush: () => Promise<void>;
  /** To be written with its commits. */
  readonly events: LeafEvents;
  /** Asks a human. */
  readonly ask: GateKeeper["ask"];
  /** What humans say to it. */
  readonly messages: MessageSource;
  /** Told where its session was placed in the pool of sandboxes, if there is one. */
  readonly onPlaced: (placement: Placement) => void;
  /** Told that its sandbox is gone. */
  readonly onAway: () => void;
}
