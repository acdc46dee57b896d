import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { bash, calls, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import { FailureReason, LeafKind, LeafState, RepositorySchema, RetryPolicySchema } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { machines, resident, Stack } from "./fixtures/stack.ts";

const shared = machines({ HANDS_LOCAL_REPOSITORIES: tmpdir() });
const house = resident(shared);
const { BAD_INPUTS, INVALID_RESULT } = FailureReason;
const kind = LeafKind.SOLVE;

interface Origin {
  readonly url: string;
  readonly head: string;
  /** The content of a file in a fresh copy at a commit, with a patch applied to it. */
  patched(commit: string, patch: string, file: string): Promise<string>;
}

/** A repository with two commits, the first one tagged `v1`. */
async function origin(): Promise<Origin> {
  const directory = await temporary();
  const git = (...args: string[]): string =>
    execFileSync("git", ["-C", directory, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { encoding: "utf8" });
  git("init", "-q", "-b", "main");
  await writeFile(join(directory, "a.txt"), "one\n");
  await writeFile(join(directory, ".gitignore"), "built\n");
  git("add", ".");
  git("commit", "-qm", "one");
  git("tag", "v1");
  await writeFile(join(directory, "a.txt"), "two\n");
  git("commit", "-qam", "two");
  return {
    url: directory,
    head: git("rev-parse", "HEAD").trim(),
    patched: async (commit, patch, file) => {
      const copy = await temporary();
      execFileSync("git", ["clone", "-q", directory, copy]);
      execFileSync("git", ["-C", copy, "checkout", "-q", commit]);
      execFileSync("git", ["-C", copy, "apply"], { input: patch });
      return await readFile(join(copy, file), "utf8");
    },
  };
}

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "harness-solve-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

function repository(url: string, ref = "") {
  return create(RepositorySchema, { url, ref });
}

describe("a solve", () => {
  test("brings its answer, a patch that git takes, and the commit that it is against", async () => {
    const { stack } = house;
    const { url, head, patched } = await origin();
    const script = scripted(
      bash("cat a.txt"),
      calls({ name: "edit", input: { path: "a.txt", edits: [{ oldText: "two", newText: "three" }] } }),
      calls({ name: "write", input: { path: "new/ünïcode.txt", content: "höher\n" } }),
      bash("touch built; echo '{{last_tool_result}}'"),
      say("I changed a.txt."),
    );
    const leaf = await stack.submit(script, { kind, repository: repository(url) });
    const { state, result } = await stack.ended(leaf);
    expect({ state, result }).toMatchObject({ state: LeafState.DONE, result: { text: "I changed a.txt.", baseCommit: head } });
    expect((await stack.eventsOf(leaf, "toolEnded"))[0]?.text).toBe("two\n");
    expect(await patched(head, result?.patch ?? "", "a.txt")).toBe("three\n");
    expect(await patched(head, result?.patch ?? "", "new/ünïcode.txt")).toBe("höher\n");
    expect(result?.patch).not.toContain("built");
  });

  test("works at the ref that is asked for", async () => {
    const { stack } = house;
    const { url, head } = await origin();
    const leaf = await stack.submit(scripted(bash("cat a.txt"), say("{{last_tool_result}}")), { kind, repository: repository(url, "v1") });
    const { result } = await stack.ended(leaf);
    expect(result).toMatchObject({ text: "one\n", patch: "" });
    expect(result?.baseCommit).not.toBe(head);
  });

  test("that follows another on its session goes on in its workspace, and its patch holds both", async () => {
    const { stack } = house;
    const { url, head, patched } = await origin();
    const sessionId = "both";
    const first = await stack.submit(scripted(bash("echo 1 >one"), say("done")), { kind, repository: repository(url), sessionId });
    const second = await stack.submit(scripted(bash("echo 2 >two"), say("done")), { kind, repository: repository(url), sessionId });
    expect((await stack.ended(first)).state).toBe(LeafState.DONE);
    const { result } = await stack.ended(second);
    expect(await patched(head, result?.patch ?? "", "one")).toBe("1\n");
    expect(await patched(head, result?.patch ?? "", "two")).toBe("2\n");
  });

  test("has its whole patch when its brain is killed in the middle", async () => {
    const stack = await Stack.open(shared);
    const { url, head, patched } = await origin();
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash("echo 3 >a.txt"), bash(held.command), say("done")), {
      kind,
      repository: repository(url),
    });
    const first = stack.brain();
    await held.begun();
    await stack.crash(first);
    stack.brain();
    await held.open();
    const { result, state } = await stack.ended(leaf);
    expect({ state, text: result?.text, baseCommit: result?.baseCommit }).toEqual({
      state: LeafState.DONE,
      text: "done",
      baseCommit: head,
    });
    expect(await patched(head, result?.patch ?? "", "a.txt")).toBe("3\n");
  });

  test("whose patch is over a mebibyte fails, and says how large it is", async () => {
    const { stack } = house;
    const { url } = await origin();
    const just = scripted(bash("head -c 1000000 /dev/zero | tr '\\0' x >large"), say("done"));
    const over = scripted(bash("head -c 1048576 /dev/zero | tr '\\0' x >large"), say("done"));
    const fits = await stack.submit(just, { kind, repository: repository(url) });
    const leaf = await stack.submit(over, { kind, repository: repository(url) });
    expect((await stack.ended(fits)).result?.patch.length).toBeGreaterThan(1_000_000);
    const { state, failure } = await stack.ended(leaf);
    expect({ state, failure }).toMatchObject({ state: LeafState.FAILED, failure: { reason: INVALID_RESULT, retryable: false } });
    expect(failure?.message).toMatch(/^the patch has 10\d{5} bytes in 1 files, the limit is 1048576/);
  });

  test("brings a file that is no UTF-8 as well", async () => {
    const { stack } = house;
    const { url, head } = await origin();
    const leaf = await stack.submit(scripted(bash("printf 'h\\344her\\n' >latin"), say("done")), { kind, repository: repository(url) });
    const { result } = await stack.ended(leaf);
    expect(result?.patch).toContain("GIT binary patch");
    const copy = await temporary();
    execFileSync("git", ["clone", "-q", url, copy]);
    execFileSync("git", ["-C", copy, "checkout", "-q", head]);
    execFileSync("git", ["-C", copy, "apply"], { input: result?.patch ?? "" });
    expect(await readFile(join(copy, "latin"), "latin1")).toBe("h\xe4her\n");
  });

  test.each([
    ["an unknown ref", "nowhere", /has no branch, tag or commit nowhere: name one that it has/, 0],
    ["a ref that is none", "a..b", /ref/, 0],
  ])("fails at once on %s, before the model is asked", async (_what, ref, message, failedAttempts) => {
    const { stack } = house;
    const { url } = await origin();
    const leaf = await stack.submit(scripted(say("never")), { kind, repository: repository(url, ref) });
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.FAILED, failedAttempts, failure: { reason: BAD_INPUTS, retryable: false } });
    expect(ended.failure?.message).toMatch(message);
    expect(await stack.eventsOf(leaf, "modelCallStarted")).toEqual([]);
  });

  test("fails on a repository that is not there when it was looked for as often as its attempts allow", async () => {
    const { stack } = house;
    const { url } = await origin();
    const retry = create(RetryPolicySchema, { maxAttempts: 3, baseDelayMs: 1n, maxDelayMs: 1n });
    const leaf = await stack.submit(scripted(say("never")), { kind, repository: repository(`${url}-gone`), retry });
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.FAILED, claims: 3, failure: { reason: BAD_INPUTS } });
    expect(ended.failure?.message).toContain("there is no such repository");
  });

  test("on a session whose workspace is none of a repository fails with a way out", async () => {
    const { stack } = house;
    const { url } = await origin();
    const first = await stack.submit(scripted(say("hello")), { sessionId: "empty" });
    const second = await stack.submit(scripted(say("done")), { kind, repository: repository(url), sessionId: "empty" });
    await stack.ended(first);
    expect((await stack.ended(second)).failure).toMatchObject({
      reason: BAD_INPUTS,
      message: expect.stringContaining("use a new session"),
    });
    expect(await stack.eventsOf(second, "modelCallStarted")).toEqual([]);
  });
});

test("a turn may name a repository, and has no patch", async () => {
  const { stack } = house;
  const { url } = await origin();
  const leaf = await stack.submit(scripted(bash("cat a.txt"), say("{{last_tool_result}}")), { repository: repository(url) });
  expect((await stack.ended(leaf)).result).toMatchObject({ text: "two\n", patch: "", baseCommit: "" });
});
