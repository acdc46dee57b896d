import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { HandsClient, type WorkspaceClient } from "../../client/index.ts";
import { Clones } from "../../git/clones.ts";
import { Git } from "../../git/git.ts";
import { LocalRepositories } from "../../git/local-repositories.ts";
import { startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { failureOf, git, repository, write } from "./sandbox.ts";

/** A named directory, a directory of hands' own in it, and clones that keep to them. */
async function house(): Promise<{ root: string; own: string; outside: string; use: (url: string, ref?: string) => Promise<string> }> {
  const base = await temporaryDirectory();
  const [root, own, outside] = [join(base, "named"), join(base, "named/.leaf/workspaces"), join(base, "outside")];
  for (const directory of [own, outside]) mkdirSync(directory, { recursive: true });
  const local = new LocalRepositories({ roots: [{ path: root }], own: [own] });
  const clones = await Clones.open({ git: new Git(), directory: join(base, "clones"), local });
  return { root, own, outside, use: (url, ref = "") => clones.use({ url, ref }, async ({ commit }) => commit) };
}

/** A repository in a directory. */
async function repositoryIn(directory: string, name: string): Promise<string> {
  const path = join(directory, name);
  renameSync(await repository({ secret: name }), path);
  return path;
}

/** What a command in a workspace prints. */
async function output(workspace: WorkspaceClient, command: string): Promise<string> {
  const followed = follow(workspace, command);
  await followed.handle.ended;
  return followed.text();
}

function head(path: string): string {
  return git(path, "rev-parse", "HEAD");
}

test("a repository below a named directory is cloned: by its path, by a link, as a bare one, as a worktree, with borrowed objects", async () => {
  const { root, use } = await house();
  const plain = await repositoryIn(root, "plain");
  symlinkSync("plain", join(root, "relative"));
  symlinkSync(plain, join(root, "absolute"));
  git(root, "clone", "-q", "--bare", plain, "bare.git");
  git(plain, "worktree", "add", "-q", "-b", "side", join(root, "worktree"));
  git(join(root, "worktree"), "commit", "-q", "--allow-empty", "-m", "in the worktree");
  git(root, "clone", "-q", "--shared", plain, "borrowing");
  git(root, "clone", "-q", "--shared", join(root, "borrowing"), "borrowing-twice");
  git(join(root, "borrowing-twice"), "commit", "-q", "--allow-empty", "-m", "own");
  const moved = await repositoryIn(root, "moved");
  renameSync(join(moved, ".git"), join(root, "moved.git"));
  symlinkSync("../moved.git", join(moved, ".git"));
  for (const name of ["plain", "relative", "absolute", "bare.git", "worktree", "borrowing", "borrowing-twice", "moved"]) {
    expect(await use(join(root, name)), name).toBe(head(join(root, name)));
    expect(await use(`file://${root}/${name}`), name).toBe(head(join(root, name)));
  }
});

test("what lies outside of the named directories, or in hands' own ones, is cloned by no way", async () => {
  const { root, own, outside, use } = await house();
  const bad = [await repositoryIn(own, "tenant"), await repositoryIn(outside, "other")];
  for (const [index, target] of bad.entries()) {
    const name = (kind: string): string => join(root, `${kind}-${index}`);
    symlinkSync(target, name("link"));
    mkdirSync(name("git-file"));
    writeFileSync(join(name("git-file"), ".git"), `gitdir: ${target}/.git\n`);
    mkdirSync(name("git-link"));
    symlinkSync(join(target, ".git"), join(name("git-link"), ".git"));
    git(target, "worktree", "add", "-q", "--detach", name("worktree"));
    git(root, "clone", "-q", "--shared", target, name("borrowing"));
    git(root, "clone", "-q", "--shared", name("borrowing"), name("borrowing-twice"));
    for (const part of ["objects", "refs", "HEAD"]) {
      git(root, "init", "-q", name(part));
      rmSync(join(name(part), ".git", part), { recursive: true });
      symlinkSync(join(target, ".git", part), join(name(part), ".git", part));
    }
    git(root, "init", "-q", name("one-ref"));
    symlinkSync(join(target, ".git/refs/heads/main"), join(name("one-ref"), ".git/refs/heads/main"));
    git(root, "init", "-q", name("one-object"));
    const fanned = readdirSync(join(target, ".git/objects")).find((entry) => entry.length === 2) ?? "";
    symlinkSync(join(target, ".git/objects", fanned), join(name("one-object"), ".git/objects", fanned));
    git(root, "init", "-q", name("common"));
    writeFileSync(join(name("common"), ".git/commondir"), `${target}/.git\n`);
    const kinds = ["link", "git-file", "git-link", "worktree", "borrowing", "borrowing-twice"];
    for (const kind of [...kinds, "objects", "refs", "HEAD", "one-ref", "one-object", "common"]) {
      const failure = await failureOf(() => use(name(kind)));
      expect(failure?.violations, kind).toEqual([{ field: "url", description: expect.stringContaining("HANDS_LOCAL_REPOSITORIES") }]);
    }
    expect((await failureOf(() => use(target)))?.reason).toBe("invalid_argument");
  }
});

test("a repository that would hold git up or lead it in circles is refused, and so is what is none", async () => {
  const { root, use } = await house();
  execFileSync("mkfifo", [join(await repositoryIn(root, "fifo"), ".git/packed-refs")]);
  symlinkSync("loop", join(root, "loop"));
  write(root, { "file/.git": "gitdir: .\n", "text/.git": "hello\n", plain: "x", "empty/x": "" });
  appendFileSync(join(await repositoryIn(root, "circle"), ".git/objects/info/alternates"), "../objects\n");
  expect((await failureOf(() => use(join(root, "fifo"))))?.reason).toBe("invalid_argument");
  for (const name of ["loop", "file", "text", "plain", "empty", "nothing"])
    expect((await failureOf(() => use(join(root, name))))?.reason, name).toBe("source_unavailable");
  expect(await use(join(root, "circle"))).toBe(head(join(root, "circle")));
});

test("no error names a path that a repository leads to", async () => {
  const { root, outside, use } = await house();
  git(root, "clone", "-q", "--shared", await repositoryIn(outside, "other"), "borrowing");
  const failure = await failureOf(() => use(join(root, "borrowing")));
  expect(failure?.message).not.toContain(outside);
  expect(readFileSync(join(root, "borrowing/.git/objects/info/alternates"), "utf8")).toContain(outside);
});

test.each(["bwrap", "process"])(
  "with the sandbox %s no workspace is made of another one, and a command sees nothing of what may be cloned",
  async (sandbox) => {
    const named = await temporaryDirectory();
    const source = await repositoryIn(named, "source");
    const daemon = await startDaemon({ HANDS_SANDBOX: sandbox, HANDS_LOCAL_REPOSITORIES: named });
    const victim = await daemon.connect("acme/victim");
    const path = (await output(victim, "pwd")).trim();
    await output(victim, "git init -q && git -c user.name=v -c user.email=v commit -q --allow-empty -m secret");
    symlinkSync(join(daemon.base, "workspaces/acme/victim"), join(named, "link"));
    const client = new HandsClient({ address: `unix:${join(daemon.base, "socket/hands.sock")}`, token: daemon.token });
    onTestFinished(() => client.close());
    const thief = client.workspace("acme/thief", 1n);
    for (const url of [path, `file://${path}`, join(named, "link"), join(daemon.base, "workspaces/acme/victim")])
      await expect(thief.create({ source: { kind: "git", url } }), url).rejects.toThrow("HANDS_LOCAL_REPOSITORIES");
    expect(await thief.create({ source: { kind: "git", url: `file://${source}` } })).toMatchObject({ baseCommit: head(source) });
    if (sandbox === "bwrap") expect(await output(thief, `ls -A ${named} /run 2>&1`)).not.toMatch(/source|hands/);
  },
);
