import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startDaemon } from "../fixtures/daemon.ts";

test("clones that nobody used for weeks are removed when the daemon starts, and those in use stay", async () => {
  const state = await mkdtemp(join(tmpdir(), "harness-state-"));
  onTestFinished(() => rm(state, { recursive: true }));
  const path = (name: string) => join(state, "clones", name);
  for (const name of ["old", "recent"]) {
    await mkdir(path(`${name}.git`), { recursive: true });
    await writeFile(path(`${name}.url`), "https://example.com/repository\n");
  }
  const weeksAgo = Date.now() / 1000 - 21 * 24 * 3600;
  await utimes(path("old.url"), weeksAgo, weeksAgo);
  const daemon = await startDaemon({ HANDS_STATE: state });
  while (!daemon.log().includes("clones that nobody used were removed"))
    await new Promise((resolve) => daemon.process.stdout?.once("data", resolve));
  expect(["old.git", "old.url", "recent.git", "recent.url"].map((name) => existsSync(path(name)))).toEqual([false, false, true, true]);
});
