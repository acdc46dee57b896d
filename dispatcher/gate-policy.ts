import type { Validation } from "@serverless-harness/kit/validate";
import { DecisionKind, DecisionKindSchema, type GatePolicy, LeafKind } from "@serverless-harness/proto/leaf";
import { callerChecks } from "./caller-checks.ts";

const MAX_TOOLS = 32;
const MAX_PATTERN = 1024;
const TOOL = /^(\*|[A-Za-z0-9_.-]{1,128})$/;

/** Check which calls of a leaf wait for a human: a policy that can't be understood must not become one that lets everything pass. */
export async function checkGatePolicy(v: Validation, field: string, policy: GatePolicy, kind: LeafKind): Promise<void> {
  v.check(
    `${field}.hold_result`,
    !policy.holdResult || kind === LeafKind.TASK,
    "is for LEAF_KIND_TASK only: other kinds have no structured result",
  );
  v.check(`${field}.tools`, policy.tools.length <= MAX_TOOLS, `must be at most ${MAX_TOOLS}`);
  for (const [index, { tool, arguments: pattern }] of policy.tools.slice(0, MAX_TOOLS).entries()) {
    v.check(`${field}.tools[${index}].tool`, TOOL.test(tool), "must be a tool's name, or * for every tool");
    const problem = pattern.length > MAX_PATTERN ? `must be at most ${MAX_PATTERN} characters` : await problemOf(pattern);
    if (problem !== undefined) v.fail(`${field}.tools[${index}].arguments`, problem);
  }
  v.range(`${field}.deadline_ms`, policy.deadlineMs, 0, 2 ** 48);
  const known = DecisionKindSchema.value[policy.onDeadline] !== undefined;
  v.check(`${field}.on_deadline`, known, "must be DECISION_KIND_APPROVE, DECISION_KIND_REJECT or DECISION_KIND_ABORT, or be left out");
  const alone = policy.deadlineMs > 0n || policy.onDeadline === DecisionKind.UNSPECIFIED;
  v.check(`${field}.on_deadline`, alone, "needs deadline_ms");
}

async function problemOf(pattern: string): Promise<string | undefined> {
  if (pattern === "") return undefined;
  const looked = await callerChecks.run("patternProblem", pattern);
  return looked === undefined ? "takes too long to check: write a simpler one" : looked.value;
}
