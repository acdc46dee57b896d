import { create } from "@bufbuild/protobuf";
import { GatePolicySchema } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { Gates, type Question } from "../tools/gates.ts";
import { abortable } from "./fixtures/workspace.ts";

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
])("a call is held by %s", async (_, tool, pattern, called, held) => {
  expect(await gatesOf(tool, pattern).needsApproval(called, { command: "rm -rf build" })).toBe(held);
});

test.each(["Bash", "bahs", "shell"])("a policy with the tool %s is refused, as it would hold nothing", (tool) => {
  expect(() => gatesOf(tool, "").checkNames(["read", "bash"])).toThrow(/^spec\.gates\.tools\[0\]\.tool: .* only read, bash/);
});

test.each(["*", "bash", "request_approval", "submit_result"])("a policy with %s is taken", (tool) => {
  expect(() => gatesOf(tool, "").checkNames(["read", "bash"])).not.toThrow();
});

test("a call is held where its pattern comes to no end, and the agent is not", async () => {
  expect(await gatesOf("bash", "^(?:[^x]+)+x$").needsApproval("bash", { command: "a".repeat(64) })).toBe(true);
});

const OPEN = { action: "open", command: "rm -rf build" };
const SHELL = { action: "open" };
const TYPED = { action: "type", terminal: "t1", text: "r" };

test.each([
  ["a command in a terminal", "bash", "", "terminal", OPEN, true],
  ["a shell in a terminal", "bash", "", "terminal", SHELL, true],
  ["what is typed into a terminal that is open", "bash", "", "terminal", TYPED, true],
  ["keys that are pressed in one", "bash", "", "terminal", { action: "type", terminal: "t1", keys: ["Up", "Enter"] }, true],
  ["no look at a terminal", "bash", "", "terminal", { action: "read", terminal: "t1" }, false],
  ["no end of a terminal", "bash", "", "terminal", { action: "close", terminal: "t1" }, false],
  ["a command in a terminal that its pattern matches", "bash", "^rm", "terminal", OPEN, true],
  ["no command in a terminal that its pattern does not match", "bash", "^ls", "terminal", OPEN, false],
  ["no shell that its pattern does not match", "bash", "^rm", "terminal", SHELL, false],
  ["typing that may be a part of what its pattern is about", "bash", "^rm", "terminal", TYPED, true],
  ["typing, where it is about every tool and has a pattern", "*", "^rm", "terminal", TYPED, true],
  ["a command of bash, where it names the terminal", "terminal", "", "bash", { command: "ls" }, true],
  ["any use of a terminal, where it names the terminal", "terminal", "", "terminal", { action: "read", terminal: "t1" }, true],
  ["an edit, where it names write", "write", "^secrets/", "edit", { path: "secrets/key", edits: [] }, true],
  ["a file that is written, where it names edit", "edit", "", "write", { path: "a", content: "" }, true],
  ["no file that is read, where it names write", "write", "", "read", { path: "a" }, false],
])("a gate holds %s", async (_, named, pattern, called, args, held) => {
  expect(await gatesOf(named, pattern).needsApproval(called, args)).toBe(held);
});

test.each([
  ["the beginning of a command", "bash", "^rm", { command: "rm -rf build" }],
  ["a line of a command", "bash", "^rm .*build$", { command: "cd project\nrm -rf build\nls" }],
  ["quotes", "bash", 'echo "hi"', { command: 'echo "hi"' }],
  ["a backslash", "bash", "a\\\\b", { command: "echo a\\b" }],
  ["a tab", "bash", "a\tb", { command: "echo a\tb" }],
  ["a letter with an accent, a line break", "bash", "é\nb", { command: "echo é\nb" }],
  ["a text inside of a list", "edit", "^secret$", { path: "a", edits: [{ oldText: "x", newText: "secret" }] }],
  ["a number", "submit_result", "^[0-9]{4,}$", { amount: 12345 }],
])("a pattern finds %s as a person reads it", async (_, tool, pattern, args) => {
  expect(await gatesOf(tool, pattern).needsApproval(tool, args)).toBe(true);
});

test.each([
  ["the name of a field", "write", "content", { path: "a", content: "b" }],
  ["how long a command may take", "bash", "^(?!ls)", { command: "ls", timeout: 10 }],
  ["a text that begins in one field and ends in another", "write", "a.*b", { path: "a", content: "b" }],
])("a pattern does not find %s", async (_, tool, pattern, args) => {
  expect(await gatesOf(tool, pattern).needsApproval(tool, args)).toBe(false);
});

test.each([
  ["letters", "x", 80_000],
  ["characters of three bytes", "\u{20AC}", 40_000],
])("a human who can't be shown all %s of a call is told how much is missing, within the store's limit", async (_, character, times) => {
  const asked: Question[] = [];
  const keeper = {
    ask: (question: Question) => Promise.resolve(void asked.push(question)),
    waits: () => undefined,
    aborted: () => undefined,
  };
  const { context, abort } = abortable();
  const shown = { summary: "s", proposedAction: character.repeat(times) };
  const decision = new Gates(keeper, undefined).decision("g", "bash", {}, shown, context);
  abort();
  await expect(decision).rejects.toThrow();
  const action = asked[0]?.proposedAction ?? "";
  const [, missing, total] = /\n\[the last (\d+) of (\d+) bytes are not shown\]$/.exec(action) ?? [];
  const kept = action.replace(/\n\[.*\]$/, "");
  expect(shown.proposedAction.startsWith(kept)).toBe(true);
  expect([Number(total), Buffer.byteLength(kept) + Number(missing)]).toEqual(Array(2).fill(Buffer.byteLength(shown.proposedAction)));
  expect(Buffer.byteLength(action)).toBeLessThanOrEqual(65_536);
});
