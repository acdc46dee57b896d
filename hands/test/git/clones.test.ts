import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isSameProcess, processStartTicks } from "@serverless-harness/kit/proc";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { Clones } from "../../git/clones.ts";
import { Git } from "../../git/git.ts";
import { everywhere } from "../fixtures/trees.ts";
import { commit, failureOf, git, reasonOf, repository } from "./sandbox.ts";

async function openClones(options: { fetchTimeoutMs?: number; git?: Git } = {}): Promise<{ clones: Clones; directory: string }> {
  const directory = join(await temporaryDirectory(), "clones");
  return { directory, clones: await Clones.open({ git: new Git(), directory, local: everywhere, ...options }) };
}

/** The commit and branch that a source stands for. */
function resolve(clones: Clones, url: string, ref = ""): Promise<{ commit: string; branch: string | undefined }> {
  return clones.use({ url, ref }, async (clone) => ({ commit: clone.commit, branch: clone.branch }));
}

function cloneIn(directory: string): string {
  const name = readdirSync(directory).find((entry) => entry.endsWith(".git"));
  return join(directory, name ?? "none");
}

test("a branch, a tag, a commit, a part of its id, a full name and nothing at all are found", async () => {
  const url = await repository();
  const first = git(url, "rev-parse", "HEAD");
  git(url, "tag", "light");
  git(url, "tag", "-a", "-m", "x", "annotated");
  git(url, "update-ref", "refs/pull/1/head", git(url, "commit-tree", "-m", "x", "HEAD^{tree}"));
  git(url, "checkout", "-q", "-b", "feature/x");
  const second = commit(url);
  git(url, "checkout", "-q", "main");
  const { clones } = await openClones();
  const expected: [string, string, string | undefined][] = [
    ["", first, "main"],
    ["HEAD", first, "main"],
    ["main", first, "main"],
    ["feature/x", second, "feature/x"],
    ["refs/heads/feature/x", second, "feature/x"],
    ["light", first, undefined],
    ["annotated", first, undefined],
    ["refs/tags/annotated", first, undefined],
    [second, second, undefined],
    [second.slice(0, 10), second, undefined],
    ["refs/pull/1/head", git(url, "rev-parse", "refs/pull/1/head"), undefined],
  ];
  for (const [ref, commitId, branch] of expected) expect(await resolve(clones, url, ref), ref).toEqual({ commit: commitId, branch });
});

test("a ref that the repository doesn't have is unknown, and so is the HEAD of an empty one", async () => {
  const url = await repository();
  git(url, "tag", "blob", git(url, "rev-parse", "HEAD:README.md"));
  const { clones } = await openClones();
  for (const ref of ["nope", "refs/heads/nope", "refs/pull/9/head", "refs/heads", "0".repeat(40), "abcdef0", "blob"]) {
    expect(await reasonOf(() => resolve(clones, url, ref)), ref).toBe("unknown_ref");
  }
  const empty = await temporaryDirectory();
  git(empty, "init", "-q");
  expect(await reasonOf(() => resolve(clones, empty))).toBe("unknown_ref");
  const later = commit(empty);
  expect((await resolve(clones, empty)).commit).toBe(later);
});

test("what is asked for is what the remote has then: moved, forced, removed and renamed branches, another HEAD", async () => {
  const url = await repository();
  const { clones } = await openClones();
  await resolve(clones, url);
  expect((await resolve(clones, url, "main")).commit).toBe(git(url, "rev-parse", "HEAD"));
  git(url, "commit", "-q", "--amend", "-m", "forced");
  expect((await resolve(clones, url, "main")).commit).toBe(git(url, "rev-parse", "HEAD"));
  git(url, "branch", "topic");
  await resolve(clones, url, "topic");
  git(url, "branch", "-m", "topic", "topic/inner");
  expect((await resolve(clones, url, "topic/inner")).branch).toBe("topic/inner");
  expect(await reasonOf(() => resolve(clones, url, "topic"))).toBe("unknown_ref");
  git(url, "update-ref", "refs/pull/1/head", "HEAD");
  await resolve(clones, url, "refs/pull/1/head");
  git(url, "update-ref", "refs/pull/1/head", commit(url));
  expect((await resolve(clones, url, "refs/pull/1/head")).commit).toBe(git(url, "rev-parse", "HEAD"));
  git(url, "checkout", "-q", "topic/inner");
  expect((await resolve(clones, url)).branch).toBe("topic/inner");
  git(url, "checkout", "-q", "--detach", "main");
  expect(await resolve(clones, url)).toEqual({ commit: git(url, "rev-parse", "main"), branch: undefined });
});

test("a commit that no branch leads to is found, where the remote gives it away", async () => {
  const url = await repository();
  const { clones } = await openClones();
  await resolve(clones, url);
  const loose = git(url, "commit-tree", "-m", "loose", "HEAD^{tree}");
  git(url, "config", "uploadpack.allowAnySHA1InWant", "true");
  expect(await resolve(clones, url, loose)).toEqual({ commit: loose, branch: undefined });
});

test("a repository that is gone fails the call and nothing else: pinned commits are still there, and so is all once it is back", async () => {
  const url = await repository();
  const head = git(url, "rev-parse", "HEAD");
  const { clones } = await openClones();
  await resolve(clones, url);
  renameSync(url, `${url}.away`);
  const error = await failureOf(() => resolve(clones, url, "main"));
  expect(error).toMatchObject({ reason: "source_unavailable", message: expect.stringContaining("no such repository") });
  expect((await resolve(clones, url, head)).commit).toBe(head);
  renameSync(`${url}.away`, url);
  expect((await resolve(clones, url, "main")).commit).toBe(head);
});

test("a first fetch that fails leaves nothing, and the next one succeeds", async () => {
  const url = await repository();
  renameSync(url, `${url}.away`);
  const { clones, directory } = await openClones();
  expect(await reasonOf(() => resolve(clones, url))).toBe("source_unavailable");
  expect(readdirSync(directory).filter((name) => name.includes(".git"))).toEqual([]);
  renameSync(`${url}.away`, url);
  expect(await reasonOf(() => resolve(clones, url))).toBe("none");
});

test("a fetch that breaks off in the middle changes no ref, and the next one succeeds", async () => {
  const url = await repository();
  const head = git(url, "rev-parse", "HEAD");
  const { clones } = await openClones();
  await resolve(clones, url);
  const next = commit(url);
  const object = join(url, ".git/objects", next.slice(0, 2), next.slice(2));
  renameSync(object, `${object}.away`);
  expect(await reasonOf(() => resolve(clones, url, "main"))).toBe("source_unavailable");
  expect((await resolve(clones, url, head)).commit).toBe(head);
  renameSync(`${object}.away`, object);
  expect((await resolve(clones, url, "main")).commit).toBe(next);
});

test("a fetch that takes too long is ended", async () => {
  const path = join(await temporaryDirectory(), "git-slow");
  writeFileSync(path, '#!/bin/sh\ncase " $* " in *" fetch "*) sleep 1000;; esac\nexec git "$@"\n');
  chmodSync(path, 0o755);
  const { clones } = await openClones({ fetchTimeoutMs: 200, git: new Git({ program: path }) });
  const error = await failureOf(async () => resolve(clones, await repository()));
  expect(error).toMatchObject({ reason: "source_unavailable", message: expect.stringContaining("within") });
});

test("calls that wait for their turn share one fetch, which is not older than any of them", async () => {
  const log = join(await temporaryDirectory(), "log");
  const path = join(await temporaryDirectory(), "git-logged");
  writeFileSync(path, `#!/bin/sh\ncase " $* " in *" fetch "*) echo x >> ${log};; esac\nexec git "$@"\n`);
  chmodSync(path, 0o755);
  const { clones } = await openClones({ git: new Git({ program: path }) });
  const url = await repository();
  const first = resolve(clones, url);
  const others = Array.from({ length: 9 }, () => resolve(clones, url, "main"));
  await Promise.all([first, ...others]);
  expect(readFileSync(log, "utf8").length / 2).toBeLessThanOrEqual(2);
  const next = commit(url);
  expect((await resolve(clones, url, "main")).commit).toBe(next);
});

test("a damaged clone is made anew", async () => {
  const url = await repository();
  const { clones, directory } = await openClones();
  await resolve(clones, url);
  rmSync(join(cloneIn(directory), "HEAD"));
  expect((await resolve(clones, url)).commit).toBe(git(url, "rev-parse", "HEAD"));
  const packs = join(cloneIn(directory), "objects/pack");
  for (const name of readdirSync(packs)) {
    chmodSync(join(packs, name), 0o644);
    truncateSync(join(packs, name), 10);
  }
  const next = commit(url);
  expect((await resolve(clones, url)).commit).toBe(next);
});

test("a process that is killed while it holds the lock holds up nobody", async () => {
  const url = await repository();
  const { clones, directory } = await openClones();
  const holder = spawn(process.execPath, [join(import.meta.dirname, "fixtures/hold-clone.ts"), directory, url], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void holder.kill("SIGKILL"));
  await once(holder.stdout, "data");
  const impatient = await Clones.open({ git: new Git(), directory, local: everywhere, lockTimeoutMs: 50 });
  expect(await reasonOf(() => resolve(impatient, url))).toBe("lock_timeout");
  const waiting = resolve(clones, url);
  holder.kill("SIGKILL");
  expect((await waiting).commit).toBe(git(url, "rev-parse", "HEAD"));
});

test("who no longer wants a clone stops waiting for it at once, and what it would have done is not done", async () => {
  const url = await repository();
  const { clones } = await openClones();
  const controller = new AbortController();
  const done: string[] = [];
  const use = (name: string, signal?: AbortSignal) =>
    clones.use({ url, ref: "" }, async () => void done.push(name), signal === undefined ? {} : { signal });
  await clones.use({ url, ref: "" }, async () => {
    const waiting = use("abandoned", controller.signal);
    controller.abort(new Error("abandoned"));
    await expect(waiting).rejects.toThrow("abandoned");
  });
  await expect(use("late", controller.signal)).rejects.toThrow("abandoned");
  await use("next");
  expect(done).toEqual(["next"]);
});

test("a fetch whose daemon was killed is ended, with the locks that its git held, before the next one", async () => {
  const url = await repository();
  const { clones, directory } = await openClones();
  await resolve(clones, url);
  const base = await temporaryDirectory();
  const path = join(base, "git-stuck");
  writeFileSync(
    path,
    `#!/bin/sh\ncase " $* " in *" fetch "*) touch packed-refs.lock objects/pack/tmp_pack_x; echo $$ > ${base}/pid.new; mv ${base}/pid.new ${base}/pid; sleep 1000;; esac\nexec git "$@"\n`,
  );
  chmodSync(path, 0o755);
  const arguments_ = [join(import.meta.dirname, "fixtures/hold-clone.ts"), directory, url, path];
  const holder = spawn(process.execPath, arguments_, { stdio: ["ignore", "ignore", "inherit"] });
  onTestFinished(() => void holder.kill("SIGKILL"));
  while (!existsSync(join(base, "pid"))) await new Promise((resolve) => setImmediate(resolve));
  const pid = Number(readFileSync(join(base, "pid"), "utf8"));
  const ticks = processStartTicks(pid) ?? "";
  expect(isSameProcess(pid, ticks)).toBe(true);
  holder.kill("SIGKILL");
  await once(holder, "exit");
  expect((await resolve(clones, url)).commit).toBe(git(url, "rev-parse", "HEAD"));
  expect(isSameProcess(pid, ticks)).toBe(false);
  const clone = cloneIn(directory);
  expect([existsSync(join(clone, "packed-refs.lock")), existsSync(join(clone, "objects/pack/tmp_pack_x"))]).toEqual([false, false]);
});

test("clones that nobody used for long are removed, others and those in use stay", async () => {
  const { clones, directory } = await openClones();
  const [old, used, recent] = [await repository(), await repository(), await repository()];
  for (const url of [old, used, recent]) await resolve(clones, url);
  for (const name of readdirSync(directory)) {
    if (name.endsWith(".url") && readFileSync(join(directory, name), "utf8").trim() !== recent)
      utimesSync(join(directory, name), 1000, 1000);
  }
  const other = await Clones.open({ git: new Git(), directory, local: everywhere });
  await other.use({ url: used, ref: "" }, async () => {
    for (const name of readdirSync(directory)) {
      if (name.endsWith(".url") && readFileSync(join(directory, name), "utf8").trim() === used)
        utimesSync(join(directory, name), 1000, 1000);
    }
    expect(await clones.prune(60_000)).toBe(1);
  });
  expect(readdirSync(directory).filter((name) => name.endsWith(".git")).length).toBe(2);
  expect(await reasonOf(() => resolve(clones, old))).toBe("none");
});

test("no host path and no text of git's gets into an error", async () => {
  const { clones, directory } = await openClones();
  const error = await failureOf(() => resolve(clones, "/no/such/repository"));
  expect(error?.message).not.toContain(directory);
  expect(error?.message).not.toContain("fatal");
});

test("a repository is one clone, whichever way its URL is written", async () => {
  const url = await repository();
  const { clones, directory } = await openClones();
  await Promise.all([resolve(clones, url), resolve(clones, `file://${url}/`), resolve(clones, `${url}/../${url.split("/").at(-1)}`)]);
  expect(readdirSync(directory).filter((name) => name.endsWith(".git")).length).toBe(1);
});
