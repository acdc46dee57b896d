import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { expect, test } from "vitest";
import { temporaryLeaf } from "./leaf.ts";

const server = redisServer("--requirepass", "word-of-the-test");

test("a stack on a Redis runs turns, keeps its store until it is down, and writes the password nowhere", async () => {
  const leaf = await temporaryLeaf();
  const redis = `redis://:word-of-the-test@127.0.0.1:${server().port}`;
  const env = { LEAF_REDIS: redis };
  const up = await leaf.run(["up", "--sandbox", "process"], { env });
  expect(up).toMatchObject({ code: 0, stdout: expect.stringContaining(`store    redis://127.0.0.1:${server().port}`) });
  expect(await leaf.run(["turn", "Run: echo kept"])).toMatchObject({ code: 0, stdout: expect.stringContaining("kept") });
  expect((await leaf.run(["up"])).stdout).toMatch(/^already up/);
  const other = await leaf.run(["up", "--redis", "redis://127.0.0.1:1"]);
  expect(other).toMatchObject({ code: 7, stderr: expect.stringContaining("with store redis://127.0.0.1") });
  for (const directory of ["run", "log"]) {
    for (const entry of readdirSync(join(leaf.dir, directory), { withFileTypes: true })) {
      if (entry.isFile()) expect(readFileSync(join(leaf.dir, directory, entry.name), "utf8")).not.toContain("word-of-the-test");
    }
  }
  for (const { pid } of leaf.processes()) expect(commandLineOf(pid)).not.toContain("word-of-the-test");
  expect((await leaf.run(["down"])).code).toBe(0);
});

test("a Redis that can't be used ends the start with the reason, and an address that is none is refused at once", async () => {
  const leaf = await temporaryLeaf();
  const wrong = await leaf.run(["up", "--sandbox", "process", "--redis", `redis://:secret@127.0.0.1:${server().port}`]);
  expect(wrong.code).not.toBe(0);
  expect(wrong.stderr).toContain("refuses the user or the password");
  expect(wrong.stderr).not.toContain("secret");
  expect(leaf.processes()).toEqual([]);
  expect(await leaf.run(["up", "--redis", "localhost"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("--redis takes redis://"),
  });
});

/** Empty if it ended meanwhile, as warm shells do. */
function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
