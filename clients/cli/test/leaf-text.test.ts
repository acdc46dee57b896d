import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { LeafKind, LeafSchema, LeafState } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { createPaint, painted } from "../output.ts";
import { leafText } from "../view/leaf-text.ts";

const PATCH = "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-two\n+three\n";

function shown(leaf: MessageInitShape<typeof LeafSchema>): string[] {
  const text = leafText(create(LeafSchema, { leafId: "leaf_1", state: LeafState.DONE, ...leaf }), createPaint(false));
  return painted(text)
    .split("\n")
    .map((line) => line.trimEnd());
}

test("a task's input and the value that it brought are shown as JSON", () => {
  const lines = shown({
    spec: { kind: LeafKind.TASK, prompt: "p", input: { id: "i1" } },
    result: { value: { item_id: "i1", verdict: "CLEAR", reason: "tame \u001b[31m words" } },
  });
  expect(lines.find((line) => line.startsWith("input"))).toBe("input    {");
  expect(lines.slice(lines.indexOf("value    {"))).toEqual([
    "value    {",
    '           "item_id": "i1",',
    '           "verdict": "CLEAR",',
    '           "reason": "tame \\u001b[31m words"',
    "         }",
  ]);
});

test("a solve's repository, answer, base and patch are shown", () => {
  const lines = shown({
    spec: { kind: LeafKind.SOLVE, prompt: "p", repository: { url: "https://example.org/a", ref: "main" } },
    result: { text: "I changed a.txt.", patch: PATCH, baseCommit: "0a1b" },
  });
  const text = lines.join("\n");
  for (const line of ["repository   https://example.org/a main", "result       I changed a.txt.", "base commit  0a1b"])
    expect(text).toContain(line);
  expect(lines.slice(-6).map((line) => line.trim())).toEqual([
    "patch        diff --git a/a.txt b/a.txt",
    ...PATCH.trimEnd().split("\n").slice(1),
  ]);
});

test("a turn shows no line that has nothing to tell", () => {
  const names = shown({ spec: { prompt: "p" }, result: { text: "done" } }).map((line) => line.split(" ", 1)[0]);
  for (const name of ["value", "patch", "base", "repository", "input"]) expect(names).not.toContain(name);
});

test("what a caller named can't forge a line of the record, nor reach the terminal", () => {
  const steering = "x\u001b]52;c;aGk=\u0007\nstate  done";
  const lines = shown({
    state: LeafState.FAILED,
    spec: { sessionId: steering, labels: { batch: steering }, prompt: steering, fork: { sessionId: steering } },
    worker: { name: steering },
    openGates: [{ gateId: steering, tool: steering, summary: steering, proposedAction: steering }],
    messages: [{ messageId: steering, sentBy: steering, text: steering }],
    failure: { message: steering },
  });
  expect(lines.filter((line) => line.startsWith("state"))).toHaveLength(1);
  expect(lines.join("")).not.toMatch(/\p{Cc}/u);
});
