import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bash, type Step, say, scripted } from "@serverless-harness/pi-fork/testing";
import { LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { machines, resident } from "../../../brain/test/fixtures/stack.ts";
import { leavesOf, newSession, openRuns, review, verdict } from "./runs.ts";

const house = resident(machines({ HANDS_LOCAL_REPOSITORIES: tmpdir() }));
const open = (seedApi = {}) => openRuns(house.stack.store, seedApi);

/** The address of a repository with one file. */
async function repository(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "harness-runs-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const git = (...args: string[]) => execFileSync("git", ["-C", directory, "-c", "user.name=t", "-c", "user.email=t@t", ...args]);
  git("init", "-q", "-b", "main");
  await writeFile(join(directory, "a.txt"), "one\n");
  git("add", ".");
  git("commit", "-qm", "one");
  return `file://${directory}`;
}

const solve = (sessionId: string, repoUrl: string, steps: readonly Step[], more = {}) => ({
  sessionId,
  kind: "solve",
  problemStatement: scripted(...steps),
  repoUrl,
  ref: "main",
  ...more,
});

describe("a solve", () => {
  test("brings its patch, new files too, and the tokens that it took", async () => {
    const { run, status } = await open();
    const sessionId = newSession();
    const { body } = await run(solve(sessionId, await repository(), [bash("echo note >NOTES.md"), say("done")]));
    const patch = expect.stringMatching(/^diff --git a\/NOTES\.md b\/NOTES\.md\n(?:.*\n)+$/);
    expect(body).toMatchObject({ status: "solved", patch });
    const { input, output, cacheRead, cacheWrite, total } = body["usage"] as Record<string, number>;
    expect(total).toBe((input ?? 0) + (output ?? 0) + (cacheRead ?? 0) + (cacheWrite ?? 0));
    expect(total).toBeGreaterThan(0);
    expect((await status({ sessionId })).body).toEqual({ status: "solved", patch });
  });

  test("that changes nothing is solved with an empty patch", async () => {
    const { run } = await open();
    expect((await run(solve(newSession(), await repository(), [say("nothing to do")]))).body).toMatchObject({
      status: "solved",
      patch: "",
    });
  });

  test("has no tool to report with", async () => {
    const { run, store } = await open();
    const sessionId = newSession();
    await run(solve(sessionId, await repository(), [verdict(), say("so be it")]));
    const [leaf] = await leavesOf(store, sessionId);
    const [ended] = await house.stack.eventsOf(leaf ?? expect.fail("no leaf"), "toolEnded");
    expect(ended).toMatchObject({ tool: "submit_verdict", isError: true });
  });

  test("at a ref that can't be fetched fails, and says so", async () => {
    const { run } = await open();
    const { body } = await run(solve(newSession(), await repository(), [say("never")], { ref: "no-such-ref" }));
    expect(body).toMatchObject({ status: "failed", reason: "error", message: expect.stringMatching(/^converge failed: .*no-such-ref/) });
  });

  test.each(["problemStatement", "repoUrl", "ref"])(
    "with an empty %s fails for its inputs, waited for or not, without a model",
    async (field) => {
      const { run, outcome, store } = await open();
      const [waited, queued] = [newSession(), newSession()];
      const envelope = { ...solve(waited, await repository(), [say("never")]), [field]: "" };
      const failed = { status: "failed", reason: "bad_inputs" };
      expect(await run(envelope)).toMatchObject({ status: 200, body: { ...failed, message: expect.stringContaining(field) } });
      expect(await run({ ...envelope, sessionId: queued, async: true })).toMatchObject({ status: 202 });
      expect((await outcome({ sessionId: queued })).body).toEqual(failed);
      expect((await leavesOf(store, queued))[0]).toMatchObject({ state: LeafState.FAILED, failedAttempts: 0 });
      expect((await run({ ...envelope, [field]: solve("", await repository(), [say("ok")])[field as "ref"] })).body).toMatchObject({
        status: "solved",
      });
    },
  );

  test("of a SWE-bench environment tells its agent where the interpreter is", async () => {
    const { run, store } = await open();
    const sessionId = newSession();
    await run(solve(sessionId, await repository(), [say("ok")], { env_key: "sweb.env.py.x86_64.abc:latest", async: true }));
    expect((await leavesOf(store, sessionId))[0]?.spec?.systemPrompt).toContain("/opt/miniconda3/envs/sweb.env.py.x86_64.abc/bin/python");
  });

  test("wins over an item if both are there", async () => {
    const { run } = await open();
    const item = { item_id: "i", file: "f", pattern: "p" };
    expect((await run(solve(newSession(), await repository(), [say("ok")], { item }))).body).toMatchObject({ status: "solved" });
  });
});

test("a review of a repository looks into the file in a copy of it, whatever workspaceRef says", async () => {
  const { run, store } = await open();
  const sessionId = newSession();
  const more = { repoUrl: await repository(), ref: "main", workspaceRef: "/elsewhere" };
  const steps = [bash("cat a.txt"), verdict()];
  expect((await run(review(sessionId, steps, more, { file: "a.txt" }))).body).toMatchObject({ status: "done" });
  const [leaf] = await leavesOf(store, sessionId);
  const [ended] = await house.stack.eventsOf(leaf ?? expect.fail("no leaf"), "toolEnded");
  expect(ended?.text).toContain("one");
  expect(leaf?.spec?.prompt).toContain("File: a.txt\n");
});
