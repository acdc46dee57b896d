import { stripVTControlCharacters } from "node:util";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { SandboxSchema, SandboxWishSchema } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { createPaint, painted } from "../output.ts";
import { sandboxLine, sandboxRow, sandboxState, wishText } from "../view/sandbox-text.ts";

const NOW = 1000n;
const plain = createPaint(false);

function sandbox(fields: MessageInitShape<typeof SandboxSchema>) {
  return create(SandboxSchema, { name: "a", address: "http://10.0.0.1:7434", aliveUntilMs: NOW + 1n, ...fields });
}

test.each([
  [{}, "there"],
  [{ capacity: 2, working: 1 }, "there"],
  [{ capacity: 2, working: 2 }, "full"],
  [{ working: 2 }, "there"],
  [{ draining: true, placed: 1 }, "draining"],
  [{ draining: true }, "drained"],
  [{ aliveUntilMs: NOW - 1n }, "away"],
  [{ aliveUntilMs: NOW - 1n, draining: true, placed: 1 }, "away, draining"],
])("a sandbox with %o is %s", (fields, state) => {
  expect(sandboxState(sandbox(fields), NOW)).toBe(state);
});

test("a sandbox is a row with how full it is, what it offers, whose it is and where", () => {
  const fields = { capacity: 8, working: 3, placed: 20, labels: { gpu: "a100", zone: "b" }, tenant: "acme" };
  expect(sandboxRow(sandbox(fields), NOW, plain)).toEqual([
    "a",
    "there",
    "3 of 8",
    "20",
    "gpu=a100 zone=b",
    "acme",
    "http://10.0.0.1:7434",
  ]);
  expect(sandboxLine(sandbox(fields), NOW, plain)).toBe("a  there  3 of 8 working  20 placed  gpu=a100 zone=b  of tenant acme");
  expect(sandboxLine(sandbox({}), NOW, plain)).toBe("a  there  0 working  0 placed");
});

test("one that dialled in is told by the dispatcher that it is reached through", () => {
  const row = sandboxRow(sandbox({ address: "https://d.example:7433/v1/sandboxes/a/rpc" }), NOW, plain);
  expect(row.at(-1)).toBe("dialled in at https://d.example:7433");
});

test("what a sandbox says of itself steers no terminal", () => {
  const row = sandboxRow(sandbox({ labels: { "\u001b[31m": "\u009b" }, address: "unix:/\u001b[2J" }), NOW, createPaint(true));
  expect(stripVTControlCharacters(painted(row.join(" ")))).not.toMatch(/\p{Cc}/u);
});

test("what a leaf wants of its sandbox is told in a line, or not at all", () => {
  const wish = (fields: MessageInitShape<typeof SandboxWishSchema>) => wishText(create(SandboxWishSchema, fields));
  expect(wish({ labels: { gpu: "a100" }, nearSessionId: "s" })).toBe("gpu=a100 near s");
  expect(wish({ nearSessionId: "s" })).toBe("near s");
  expect(wish({})).toBeUndefined();
  expect(wishText(undefined)).toBeUndefined();
});
