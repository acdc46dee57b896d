import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { type LeafJson, sharedStack } from "./leaf.ts";

const stack = sharedStack();

test("leaf up writes an audit log for its owner alone, and leaf audit verify proves it", async () => {
  const { leaf } = await stack.leaf.json<LeafJson>("submit", "Run: true");
  const log = join(stack.leaf.dir, "audit", "audit.jsonl");
  expect((await stat(log)).mode & 0o777).toBe(0o600);
  expect(await readFile(log, "utf8")).toContain(`"leaf_id":"${leaf.leafId}"`);
  expect(await stack.leaf.run(["audit", "verify"])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\d+ lines are as they were written; /),
  });
  expect(await stack.leaf.json("audit", "verify")).toMatchObject({ ok: true, firstSeq: 1, files: [log] });
});

test("leaf audit verify names the first line that was changed, and exits 1", async () => {
  const [from, path] = [join(stack.leaf.dir, "audit", "audit.jsonl"), join(await temporaryDirectory(), "copy.jsonl")];
  await stack.leaf.json<LeafJson>("submit", "Run: true");
  const lines = (await readFile(from, "utf8")).split("\n");
  await writeFile(path, lines.with(1, (lines[1] ?? "").replace('"asked"', '"never"')).join("\n"));
  expect(await stack.leaf.run(["audit", "verify", path])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("copy.jsonl line 3: "),
  });
  const { code, stdout } = await stack.leaf.run(["audit", "verify", path, "--json"]);
  expect([code, JSON.parse(stdout)]).toMatchObject([1, { ok: false, broken: { file: path, line: 3 } }]);
});

test.each([
  [["audit", "verify", "/nonexistent/audit.jsonl"], 4, "there is no audit log at /nonexistent/audit.jsonl"],
  [["audit", "nap"], 2, "unknown command 'audit nap'"],
])("refuses %j and says why", async (args, code, message) => {
  expect(await stack.leaf.run(args)).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(message) });
});
