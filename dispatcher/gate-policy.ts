import type { Validation } from "@serverless-harness/kit/validate";
import { DecisionKind, DecisionKindSchema, type GatePolicy } from "@serverless-harness/proto/leaf";

const MAX_TOOLS = 32;
const MAX_PATTERN = 1024;
const TOOL = /^(\*|[A-Za-z0-9_.-]{1,128})$/;

/** Check which calls of a leaf wait for a human: a policy that can't be understood must not become one that lets everything pass. */
export function checkGatePolicy(v: Validation, field: string, policy: GatePolicy): void {
  v.check(`${field}.tools`, policy.tools.length <= MAX_TOOLS, `must be at most ${MAX_TOOLS}`);
  for (const [index, { tool, arguments: pattern }] of policy.tools.entries()) {
    v.check(`${field}.tools[${index}].tool`, TOOL.test(tool), "must be a tool's name, or * for every tool");
    v.check(`${field}.tools[${index}].arguments`, pattern.length <= MAX_PATTERN, `must be at most ${MAX_PATTERN} characters`);
    v.check(`${field}.tools[${index}].arguments`, isPattern(pattern), "must be a regular expression of JavaScript, with the flag u");
  }
  v.range(`${field}.deadline_ms`, policy.deadlineMs, 0, 2 ** 48);
  const known = DecisionKindSchema.value[policy.onDeadline] !== undefined;
  v.check(`${field}.on_deadline`, known, "must be DECISION_KIND_APPROVE, DECISION_KIND_REJECT or DECISION_KIND_ABORT, or be left out");
  const alone = policy.deadlineMs > 0n || policy.onDeadline === DecisionKind.UNSPECIFIED;
  v.check(`${field}.on_deadline`, alone, "needs deadline_ms");
}

function isPattern(pattern: string): boolean {
  try {
    new RegExp(pattern, "u");
    return true;
  } catch {
    return false;
  }
}
