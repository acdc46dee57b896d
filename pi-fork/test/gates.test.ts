import { create } from "@bufbuild/protobuf";
import { GatePolicySchema } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { Gates } from "../tools/gates.ts";

function gatesOf(tool: string, pattern: string): Gates {
  const keeper = { ask: () => Promise.resolve(undefined), waits: () => undefined, aborted: () => undefined };
  return new Gates(keeper, create(GatePolicySchema, { tools: [{ tool, arguments: pattern }] }));
}

test.each([
  ["the tool's name", "bash", "", "bash", true],
  ["another tool's name", "bash", "", "write", false],
  ["every tool", "*", "", "write", true],
  ["arguments that match", "bash", "rm -rf", "bash", true],
  ["arguments that don't", "bash", "rm -r /", "bash", false],
])("a call is held by %s", (_, tool, pattern, called, held) => {
  expect(gatesOf(tool, pattern).needsApproval(called, { command: "rm -rf build" })).toBe(held);
});

test.each(["Bash", "bahs", "shell"])("a policy with the tool %s is refused, as it would hold nothing", (tool) => {
  expect(() => gatesOf(tool, "").checkNames(["read", "bash"])).toThrow(/^spec\.gates\.tools\[0\]\.tool: .* only read, bash/);
});

test.each(["*", "bash", "request_approval", "submit_result"])("a policy with %s is taken", (tool) => {
  expect(() => gatesOf(tool, "").checkNames(["read", "bash"])).not.toThrow();
});

test("a call is held where its pattern comes to no end, and the agent is not", () => {
  expect(gatesOf("bash", "^(?:[^x]+)+x$").needsApproval("bash", { command: "a".repeat(64) })).toBe(true);
});
