import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import { hashOf } from "../../chained-log/line.ts";
import { verifyLog } from "../../chained-log/verify.ts";
import { ChainedLog } from "../../chained-log/writer.ts";

/** A log of ten lines, in one file unless a file has fewer bytes. */
async function written(maxBytes = 1_000_000): Promise<string> {
  const path = join(await temporaryDirectory(), "audit.jsonl");
  const log = ChainedLog.open({ path, maxBytes, keepFiles: 0 });
  for (let count = 1; count <= 10; count++) log.append({ action: "leaf.submit", tenant: "acme", count });
  log.close();
  return path;
}

/** Change the lines of a file. */
function tamper(path: string, change: (lines: string[]) => string[]): void {
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  writeFileSync(path, `${change(lines).join("\n")}\n`);
}

describe("a log is broken at the first line that is not as it was written", () => {
  test.each<[string, number, string, (lines: string[]) => string[]]>([
    ["a changed line", 5, "one of both was changed", (all) => all.with(3, (all[3] ?? "").replace("acme", "evil"))],
    ["a changed last line", 10, "head has another hash", (all) => all.with(9, (all[9] ?? "").replace("acme", "evil"))],
    ["a line that is gone", 4, "line 4 of the log should stand here, and 5 does", (all) => all.toSpliced(3, 1)],
    ["the first line gone", 1, "lines 1 to 1 of the log are missing", (all) => all.slice(1)],
    ["two lines that changed places", 4, "line 4 of the log should stand here", (all) => all.toSpliced(3, 2, all[4] ?? "", all[3] ?? "")],
    ["lines cut off at the end", 8, "lines 8 to 10 of the log are missing at its end", (all) => all.slice(0, 7)],
    ["a line put in", 4, "line 4 of the log should stand here, and 3 does", (all) => all.toSpliced(3, 0, all[2] ?? "")],
    ["a line put in that chains", 5, "line 5 of the log should stand here, and 4 does", (all) => all.toSpliced(3, 0, after(all[2] ?? ""))],
    ["something that is no line", 3, "no line of a log", (all) => all.with(2, "hello")],
  ])("%s", async (_name, line, problem, change) => {
    const path = await written();
    tamper(path, change);
    expect((await verifyLog([path])).broken).toEqual({ file: path, line, problem: expect.stringContaining(problem) });
  });

  test("a part of a line", async () => {
    const path = await written();
    writeFileSync(path, readFileSync(path).subarray(0, -10));
    expect((await verifyLog([path])).broken).toMatchObject({ line: 10, problem: expect.stringContaining("not whole") });
  });

  test("a whole file that is gone, at the beginning or between others", async () => {
    for (const index of [0, 1]) {
      const path = await written(500);
      const { files } = await verifyLog([path]);
      expect(files.length).toBeGreaterThan(3);
      rmSync(files[index] ?? "");
      expect((await verifyLog([path])).broken).toMatchObject({ line: 1 });
    }
  });

  test("a head that is gone", async () => {
    const path = await written();
    renameSync(`${path}.head`, `${path}.elsewhere`);
    expect((await verifyLog([path])).broken).toMatchObject({
      line: 10,
      problem: expect.stringContaining("head beside the log is missing"),
    });
  });
});

/** A line that follows another one as a writer would have it. */
function after(line: string): string {
  const { seq, ...rest } = JSON.parse(line) as { seq: number };
  return JSON.stringify({ seq: seq + 1, ...rest, prev: hashOf(line) });
}

test("a log that was left alone is whole, and so is one that nothing was written to", async () => {
  expect(await verifyLog([await written()])).toMatchObject({ lines: 10, firstSeq: 1 });
  const path = join(await temporaryDirectory(), "audit.jsonl");
  const log = ChainedLog.open({ path, maxBytes: 1000, keepFiles: 0 });
  expect(await verifyLog([path])).toMatchObject({ lines: 0 });
  log.close();
});
