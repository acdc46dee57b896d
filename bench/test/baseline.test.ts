import { describe, expect, test } from "vitest";
import { BareNode } from "../baseline/bare-node.ts";
import { inFreshNode } from "../baseline/fresh.ts";
import type { Job } from "../baseline/job.ts";

describe("the baselines", () => {
  test("run in a process under 60 MB, also behind the spawns of a measurement", async () => {
    const sizes: number[] = [];
    const samples = await inFreshNode({ kind: "spawn", count: 20, gapMs: 0 }, sizes);
    expect(samples.length).toBe(20);
    expect(samples.every((ms) => ms > 0)).toBe(true);
    expect(sizes.every((bytes) => bytes > 20e6 && bytes < 60e6)).toBe(true);
  });

  test.each([
    [{ kind: "shell", count: 3, gapMs: 1 }, 3],
    [{ kind: "burst", count: 5 }, 1],
    [{ kind: "keys", count: 3, gapMs: 1 }, 3],
    [{ kind: "pipe", bytes: 1_000_001 }, 1],
    [{ kind: "run", count: 2, argv: ["true"] }, 2],
  ] satisfies Array<[Job, number]>)("measure %j", async (job, count) => {
    const node = new BareNode();
    expect((await node.run(job)).filter((ms) => ms > 0).length).toBe(count);
    await node.close();
  });

  test("fail where the command fails, instead of measuring how fast that was", async () => {
    const node = new BareNode();
    await expect(node.run({ kind: "run", count: 1, argv: ["false"] })).rejects.toThrow("false ended with 1");
    await node.close();
  });
});
