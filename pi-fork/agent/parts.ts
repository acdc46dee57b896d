import type { AgentHarness, AgentLane, Session } from "@earendil-works/pi-agent-core";
import type { ImageContent } from "@earendil-works/pi-ai";
import type { Instructions } from "../instructions/kept.ts";
import type { Summaries } from "./compaction/summaries.ts";
import type { ExpectedResult } from "./expected-result.ts";
import type { MessageSource } from "./inbox.ts";
import type { StoryReader } from "./log/story.ts";
import type { Narrator } from "./narrator.ts";
import type { UnfinishedAnswers } from "./unfinished.ts";
import type { AgentLimits } from "./usage/budget.ts";
import type { WorkspaceLog } from "./workspace/workspace-log.ts";

/** What an agent is made of. */
export interface AgentParts {
  readonly harness: AgentHarness<never>;
  readonly lane: AgentLane;
  readonly session: Session;
  readonly narrator: Narrator;
  readonly story: StoryReader;
  readonly summaries: Summaries;
  readonly instructions: Instructions;
  readonly limits: AgentLimits;
  /** The structured result that the operation owes; the narrator feeds it. */
  readonly expected: ExpectedResult | undefined;
  /** Whether the operation's newest answer is its last word; the narrator feeds it. */
  readonly unfinished: UnfinishedAnswers;
  /** Commands that run for longer are not waited for here, in milliseconds. Absent: they are. */
  readonly sleepAfterMs?: number | undefined;
  /** Go with the prompt. */
  readonly images: ImageContent[];
  /** End an exec of an agent that is gone. */
  readonly endExec: (execId: string) => Promise<void>;
  /** What the session's log knows of the workspace. Absent: nothing is noted. */
  readonly workspaceLog?: WorkspaceLog | undefined;
  /** What humans say to the agent while it works. */
  readonly messages: MessageSource;
}
