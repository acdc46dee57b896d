import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { startServer, temporaryDirectory } from "@serverless-harness/kit/testing";
import { WorkspaceService } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { workspaceService } from "../../rpc/workspace.ts";
import { Workspaces } from "../../workspaces/workspaces.ts";
import { reasonOf } from "../files/service.ts";
import { makeDeep } from "../fixtures/deep-tree.ts";
import { openTrees } from "../fixtures/trees.ts";

type Service = Client<typeof WorkspaceService>;

/** A sandbox of its own; those with the same `artifacts` share their snapshots. */
async function startSandbox(artifacts?: string): Promise<{
  service: Service;
  path: (name: string) => string;
  staging: (name: string) => string;
}> {
  const base = await temporaryDirectory();
  const workspaces = await Workspaces.open({ root: join(base, "workspaces"), state: join(base, "state") });
  const trees = await openTrees(base, artifacts ?? join(base, "artifacts"));
  workspaces.beforeDelete((workspace) => trees.release(workspace));
  const { client } = await startServer({ routes: (router) => router.service(WorkspaceService, workspaceService({ workspaces, trees })) });
  return {
    service: createClient(WorkspaceService, client()),
    path: (name) => workspaces.find(name).path,
    staging: (name) => join(base, "workspaces", ".staging", name),
  };
}

/** A repository with two commits, the first one tagged `v1`. */
async function repository(): Promise<{ url: string; commit: string }> {
  const directory = await temporaryDirectory();
  const git = (...args: string[]): string =>
    execFileSync("git", ["-C", directory, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { encoding: "utf8" });
  git("init", "-q", "-b", "main");
  await writeFile(join(directory, "a.txt"), "one\n");
  await writeFile(join(directory, ".gitignore"), "ignored\n");
  git("add", ".");
  git("commit", "-qm", "one");
  git("tag", "v1");
  await writeFile(join(directory, "a.txt"), "two\n");
  git("commit", "-qam", "two");
  return { url: directory, commit: git("rev-parse", "HEAD").trim() };
}

async function patchOf(service: Service, workspace: string, sinceSnapshotId = ""): Promise<{ patch: string; files: number }> {
  const pieces: Uint8Array[] = [];
  let files = -1;
  for await (const part of service.diff({ workspace, sinceSnapshotId })) {
    pieces.push(part.patch);
    if (part.summary !== undefined) files = part.summary.files;
  }
  return { patch: Buffer.concat(pieces).toString(), files };
}

test("a workspace is made from a repository at a ref, and its diff applies there", async () => {
  const { service, path } = await startSandbox();
  const { url, commit } = await repository();
  const made = await service.create({ workspace: "acme/git", epoch: 1n, source: { case: "git", value: { url, ref: "main" } } });
  expect(made.workspace?.baseCommit).toBe(commit);
  const old = await service.create({ workspace: "acme/old", epoch: 1n, source: { case: "git", value: { url, ref: "v1" } } });
  expect(old.workspace?.baseCommit).not.toBe(commit);
  expect(await readFile(join(path("acme/old"), "a.txt"), "utf8")).toBe("one\n");
  const directory = path("acme/git");
  await writeFile(join(directory, "a.txt"), "three\n");
  await writeFile(join(directory, "new.txt"), "new\n");
  await writeFile(join(directory, "ignored"), "x");
  const { patch, files } = await patchOf(service, "acme/git");
  expect(files).toBe(2);
  const clone = await temporaryDirectory();
  execFileSync("git", ["clone", "-q", url, clone]);
  execFileSync("git", ["-C", clone, "apply"], { input: patch });
  expect(await readFile(join(clone, "a.txt"), "utf8")).toBe("three\n");
  expect(await readFile(join(clone, "new.txt"), "utf8")).toBe("new\n");
});

test("a repository or a ref that is not there makes no workspace", async () => {
  const { service } = await startSandbox();
  const { url } = await repository();
  const from = (source: { url: string; ref: string }) =>
    service.create({ workspace: "acme/git", epoch: 1n, source: { case: "git", value: source } });
  expect(await reasonOf(() => from({ url, ref: "no-such-branch" }))).toBe("unknown_ref");
  expect(await reasonOf(() => from({ url: `${url}-gone`, ref: "" }))).toBe("source_unavailable");
  expect(await reasonOf(() => from({ url: "https://user:secret@localhost/x", ref: "" }))).toBe("invalid_argument");
  expect((await service.list({})).workspaces).toEqual([]);
  expect((await from({ url, ref: "" })).existed).toBe(false);
});

test("a copy has the files of the original, its links and modes, and is changed without it", async () => {
  const { service, path } = await startSandbox();
  await service.create({ workspace: "acme/one", epoch: 1n });
  const original = path("acme/one");
  await mkdir(join(original, "bin"));
  await writeFile(join(original, "bin/run"), "#!/bin/sh\n", { mode: 0o755 });
  await symlink("../../../etc/passwd", join(original, "link"));
  execFileSync("mkfifo", [join(original, "fifo")]);
  await service.create({ workspace: "acme/two", epoch: 1n, source: { case: "copy", value: { workspace: "acme/one" } } });
  const copy = path("acme/two");
  expect((await stat(join(copy, "bin/run"))).mode & 0o777).toBe(0o755);
  expect(await readlink(join(copy, "link"))).toBe("../../../etc/passwd");
  await expect(stat(join(copy, "fifo"))).rejects.toThrow(/ENOENT/);
  expect((await patchOf(service, "acme/two")).files).toBe(0);
  await rm(join(copy, "bin"), { recursive: true });
  expect(await readFile(join(original, "bin/run"), "utf8")).toBe("#!/bin/sh\n");
  expect((await patchOf(service, "acme/two")).files).toBe(1);
});

test("a copy has names and link targets that are no UTF-8, byte for byte, and names what it can't have", async () => {
  const { service, path } = await startSandbox();
  await service.create({ workspace: "acme/one", epoch: 1n });
  const original = path("acme/one");
  const script = `mkdir $(printf 'd\\377'); echo content > $(printf 'd\\377/f\\376'); ln -s $(printf 't\\375') $(printf 'l\\374'); mkfifo pipe`;
  execFileSync("bash", ["-c", script], { cwd: original });
  const made = await service.create({ workspace: "acme/two", epoch: 1n, source: { case: "copy", value: { workspace: "acme/one" } } });
  const listing = (directory: string) =>
    execFileSync("bash", ["-c", "find . -type f -o -type d -o -type l -printf '%p -> %l' | LC_ALL=C sort; cat d*/f*"], { cwd: directory });
  expect(listing(path("acme/two"))).toEqual(listing(original));
  expect(made.workspace?.leftOut).toMatchObject({ paths: [{ path: "pipe", why: "is a FIFO" }], more: 0 });
  const again = await service.create({ workspace: "acme/two", epoch: 1n, source: { case: "copy", value: { workspace: "acme/one" } } });
  expect(again).toMatchObject({ existed: true, workspace: { leftOut: { paths: [{ path: "pipe" }] } } });
});

test("a copy of directories too deep is refused with the limit before anything is staged", async () => {
  const { service, path, staging } = await startSandbox();
  await service.create({ workspace: "acme/one", epoch: 1n });
  await writeFile(join(path("acme/one"), "file"), "content");
  makeDeep(path("acme/one"), 3000);
  const copy = service.create({ workspace: "acme/two", epoch: 1n, source: { case: "copy", value: { workspace: "acme/one" } } });
  await expect(copy).rejects.toThrow(/lies below more than 256 directories/);
  expect(await readdir(staging("acme/two"))).toEqual([]);
  expect((await service.list({})).workspaces.map(({ name }) => name)).toEqual(["acme/one"]);
  await service.delete({ workspace: "acme/one", epoch: 1n });
});

test("worktrees, alternates, settings and links of a copy lead into the copy, and nothing there changes the original", async () => {
  const { service, path } = await startSandbox();
  await service.create({ workspace: "acme/one", epoch: 1n });
  const original = path("acme/one");
  await writeFile(join(original, "notes"), "original");
  const script = `
    git init -q -b main repo; cd repo; git config user.name t; git config user.email t@t; git commit -q --allow-empty -m first
    git worktree add -q ../tree -b side; git worktree add -q "$OUTSIDE" -b outside
    cd ..; git clone -q --shared "$PWD/repo" shared
    ln -s "$PWD/notes" absolute; ln -s ../one/notes relative; ln -s ../../other elsewhere`;
  const outside = join(await temporaryDirectory(), "outside");
  execFileSync("bash", ["-ec", script], { cwd: original, env: { ...process.env, OUTSIDE: outside } });
  const made = await service.create({ workspace: "acme/two", epoch: 1n, source: { case: "copy", value: { workspace: "acme/one" } } });
  const copy = path("acme/two");
  const changes = `
    cd tree; git -c user.name=t -c user.email=t@t commit -q --allow-empty -m second; cd ../shared; git push -q origin HEAD:pushed; git log -1 --format=%s
    cd ..; echo changed > absolute; cat relative; git -C repo worktree list --porcelain | grep ^worktree`;
  const seen = execFileSync("bash", ["-ec", changes], { cwd: copy, encoding: "utf8" });
  expect(seen.trim().split("\n")).toEqual(["first", "changed", `worktree ${copy}/repo`, `worktree ${copy}/tree`]);
  const branches = execFileSync("git", ["-C", join(original, "repo"), "log", "--branches", "--format=%s"], { encoding: "utf8" });
  expect(branches.trim()).toBe("first");
  expect(await readFile(join(original, "notes"), "utf8")).toBe("original");
  expect(await readlink(join(copy, "elsewhere"))).toBe("../../other");
  expect(made.workspace?.leftOut?.paths).toMatchObject([
    { path: "repo/.git/worktrees/outside", why: "belongs to a worktree outside of the workspace" },
  ]);
});

test("a copy is made of another workspace of the same tenant only", async () => {
  const { service } = await startSandbox();
  const copy = (workspace: string) => service.create({ workspace: "acme/two", epoch: 1n, source: { case: "copy", value: { workspace } } });
  expect(await reasonOf(() => copy("other/one"))).toBe("invalid_argument");
  expect(await reasonOf(() => copy("acme/two"))).toBe("invalid_argument");
  expect(await reasonOf(() => copy("acme/none"))).toBe("unknown_workspace");
});

test("a fresh workspace is made anew once per epoch, however often it is asked for", async () => {
  const { service, path } = await startSandbox();
  const create = (epoch: bigint) => service.create({ workspace: "acme/one", epoch, fresh: true });
  await create(1n);
  await writeFile(join(path("acme/one"), "file"), "first");
  expect((await create(1n)).existed).toBe(true);
  expect(await readFile(join(path("acme/one"), "file"), "utf8")).toBe("first");
  expect((await create(2n)).existed).toBe(false);
  await expect(stat(join(path("acme/one"), "file"))).rejects.toThrow(/ENOENT/);
  expect(await reasonOf(() => create(1n))).toBe("stale_epoch");
});

test("a snapshot gives another sandbox the tree back, once per id", async () => {
  const artifacts = await temporaryDirectory();
  const [here, there] = [await startSandbox(artifacts), await startSandbox(artifacts)];
  await here.service.create({ workspace: "acme/one", epoch: 1n });
  await writeFile(join(here.path("acme/one"), "file"), "content");
  await symlink("file", join(here.path("acme/one"), "link"));
  const order = { workspace: "acme/one", epoch: 1n, snapshotId: "s1" };
  const taken = await here.service.snapshot(order);
  await writeFile(join(here.path("acme/one"), "file"), "changed");
  expect(await here.service.snapshot(order)).toMatchObject({ replayed: true, snapshot: { tree: taken.snapshot?.tree ?? "" } });
  expect((await patchOf(here.service, "acme/one", "s1")).patch).toContain("+changed");
  await there.service.create({ workspace: "acme/one", epoch: 1n });
  await writeFile(join(there.path("acme/one"), "extra"), "goes");
  const restored = await there.service.restore(order);
  expect([restored.changedFiles, restored.snapshot?.tree]).toEqual([3, taken.snapshot?.tree]);
  expect(await readFile(join(there.path("acme/one"), "link"), "utf8")).toBe("content");
  await expect(stat(join(there.path("acme/one"), "extra"))).rejects.toThrow(/ENOENT/);
  expect((await there.service.list({})).workspaces[0]?.restoredSnapshotId).toBe("s1");
  expect(await reasonOf(() => there.service.restore({ ...order, snapshotId: "none" }))).toBe("unknown_snapshot");
  expect(await reasonOf(() => there.service.snapshot({ ...order, epoch: 0n, snapshotId: "s2" }))).toBe("stale_epoch");
});
