import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { Workspaces } from "../../workspaces/workspaces.ts";
import { makeDeep } from "../fixtures/deep-tree.ts";

async function openWorkspaces() {
  const base = await temporaryDirectory();
  const options = { root: join(base, "workspaces"), state: join(base, "state") };
  return { options, workspaces: await Workspaces.open(options) };
}

async function reasonOf(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    if (error instanceof HarnessError) return error.reason;
    throw error;
  }
  return "none";
}

test("a workspace is a directory that is there when create returns, and creating it again tells that it existed", async () => {
  const { workspaces } = await openWorkspaces();
  const first = await workspaces.create("acme/one", 1n);
  expect(first.existed).toBe(false);
  expect(await readdir(first.workspace.path)).toEqual([]);
  await writeFile(join(first.workspace.path, "kept"), "");
  const again = await workspaces.create("acme/one", 1n);
  expect(again).toEqual({ workspace: first.workspace, existed: true });
  expect(await readdir(first.workspace.path)).toEqual(["kept"]);
});

test("a workspace whose directory a command removed, or put something else in the place of, is made again as a new one", async () => {
  const { workspaces } = await openWorkspaces();
  const { workspace: first } = await workspaces.create("acme/one", 1n);
  await rm(first.path, { recursive: true });
  const second = await workspaces.create("acme/one", 1n);
  expect(second).toMatchObject({ existed: false, workspace: { path: first.path } });
  await rm(first.path, { recursive: true });
  await symlink("/", first.path);
  expect((await workspaces.create("acme/one", 2n)).existed).toBe(false);
  expect(await readdir(first.path)).toEqual([]);
  expect((await workspaces.create("acme/one", 2n)).existed).toBe(true);
});

test("an unknown workspace is refused for reading and for changing", async () => {
  const { workspaces } = await openWorkspaces();
  expect(await reasonOf(() => workspaces.find("acme/none"))).toBe("unknown_workspace");
  expect(await reasonOf(() => workspaces.resolve("acme/none", 1n))).toBe("unknown_workspace");
  expect(await reasonOf(() => workspaces.fence("acme/none", 1n))).toBe("unknown_workspace");
});

test("an older epoch is refused everywhere once a newer one was seen, and so is 0", async () => {
  const { workspaces } = await openWorkspaces();
  await workspaces.create("acme/one", 0n);
  expect(await reasonOf(() => workspaces.resolve("acme/one", 0n))).toBe("none");
  await workspaces.resolve("acme/one", 7n);
  for (const old of [6n, 0n, -1n]) {
    expect(await reasonOf(() => workspaces.resolve("acme/one", old))).toBe("stale_epoch");
    expect(await reasonOf(() => workspaces.fence("acme/one", old))).toBe("stale_epoch");
    expect(await reasonOf(() => workspaces.create("acme/one", old))).toBe("stale_epoch");
    expect(await reasonOf(() => workspaces.delete("acme/one", old))).toBe("stale_epoch");
  }
  expect(await reasonOf(() => workspaces.resolve("acme/one", 7n))).toBe("none");
});

test("a newer epoch is on disk before resolve returns, so that a restart still refuses the older one", async () => {
  const { options, workspaces } = await openWorkspaces();
  await workspaces.create("acme/one", 1n);
  const huge = 2n ** 62n;
  const { stateDirectory } = await workspaces.resolve("acme/one", huge);
  expect(JSON.parse(await readFile(join(stateDirectory, "workspace.json"), "utf8"))).toMatchObject({ epoch: String(huge) });
  const restarted = await Workspaces.open(options);
  expect(await reasonOf(() => restarted.resolve("acme/one", huge - 1n))).toBe("stale_epoch");
  expect(restarted.describe("acme/one").epoch).toBe(huge);
});

test("of many owners at once the newest wins, whatever the order", async () => {
  const { workspaces } = await openWorkspaces();
  await workspaces.create("acme/one", 0n);
  const epochs = [3n, 9n, 1n, 8n, 2n];
  const reasons = await Promise.all(epochs.map((epoch) => reasonOf(() => workspaces.resolve("acme/one", epoch))));
  expect(workspaces.describe("acme/one").epoch).toBe(9n);
  expect(reasons).toEqual(["none", "none", "stale_epoch", "stale_epoch", "stale_epoch"]);
});

test("the list is sorted by name and leaves out what was deleted", async () => {
  const { workspaces } = await openWorkspaces();
  for (const name of ["b/x", "a/y", "a/x", "c/z"]) await workspaces.create(name, 1n);
  await workspaces.delete("a/y", 1n);
  expect(workspaces.list().map((w) => w.name)).toEqual(["a/x", "b/x", "c/z"]);
});

test("delete ends what runs first, then removes the files and the state, and may be repeated", async () => {
  const { workspaces } = await openWorkspaces();
  const { workspace } = await workspaces.create("acme/one", 1n);
  await writeFile(join(workspace.path, "file"), "x");
  await mkdir(join(workspace.stateDirectory, "journal"));
  const seen: string[][] = [];
  workspaces.beforeDelete(async ({ path, name }) => {
    seen.push(await readdir(path).catch(() => []));
    // Nothing new can begin while the old ends.
    expect(await reasonOf(() => workspaces.resolve(name, 1n))).toBe("unknown_workspace");
  });
  await workspaces.delete("acme/one", 1n);
  await workspaces.delete("acme/one", 1n);
  await workspaces.delete("acme/never", 1n);
  expect(seen[0]).toEqual(["file"]);
  await expect(readdir(workspace.path)).rejects.toThrow("ENOENT");
  expect(await readdir(workspace.stateDirectory)).toEqual(["workspace.json"]);
});

test("an old owner can't bring a deleted workspace back, a newer one starts with an empty one", async () => {
  const { options, workspaces } = await openWorkspaces();
  const { workspace } = await workspaces.create("acme/one", 5n);
  await writeFile(join(workspace.path, "file"), "x");
  await workspaces.delete("acme/one", 5n);
  const restarted = await Workspaces.open(options);
  expect(await reasonOf(() => restarted.create("acme/one", 4n))).toBe("stale_epoch");
  const again = await restarted.create("acme/one", 6n);
  expect(again.existed).toBe(false);
  expect(await readdir(workspace.path)).toEqual([]);
});

test("a deletion that a crash interrupted is finished at the next start", async () => {
  const { options, workspaces } = await openWorkspaces();
  const { workspace } = await workspaces.create("acme/one", 1n);
  await writeFile(join(workspace.path, "file"), "x");
  workspaces.beforeDelete(() => Promise.reject(new Error("crash")));
  await expect(workspaces.delete("acme/one", 1n)).rejects.toThrow("crash");
  const restarted = await Workspaces.open(options);
  await restarted.tidied;
  await expect(readdir(workspace.path)).rejects.toThrow("ENOENT");
  expect(restarted.list()).toEqual([]);
});

test("a deleted workspace of any depth keeps no daemon from starting, and is gone", async () => {
  const { options, workspaces } = await openWorkspaces();
  const { workspace } = await workspaces.create("acme/deep", 1n);
  makeDeep(workspace.path, 3000);
  workspaces.beforeDelete(() => Promise.reject(new Error("crash")));
  await expect(workspaces.delete("acme/deep", 1n)).rejects.toThrow("crash");
  const restarted = await Workspaces.open(options);
  await restarted.tidied;
  expect(await readdir(join(options.root, ".trash"))).toEqual([]);
  await restarted.create("acme/deep", 2n);
  await restarted.delete("acme/deep", 2n);
  expect(await readdir(join(options.root, "acme"))).toEqual([]);
});

test.each([
  ["null", "null"],
  ["no JSON", "{"],
  ["no epoch", '{"createdAtMs":1}'],
  ["an epoch that is no number", '{"epoch":"x","createdAtMs":1}'],
  ["an impossible time", '{"epoch":"1","createdAtMs":1e300}'],
])("a record that holds %s sets its workspace aside with its files, and no other", async (_what, record) => {
  const { options, workspaces } = await openWorkspaces();
  const { workspace } = await workspaces.create("acme/one", 1n);
  await writeFile(join(workspace.path, "file"), "kept");
  await workspaces.create("acme/two", 1n);
  await writeFile(join(workspace.stateDirectory, "workspace.json"), record);
  const restarted = await Workspaces.open(options);
  expect(restarted.list().map(({ name }) => name)).toEqual(["acme/two"]);
  const [aside = ""] = await readdir(join(options.root, ".aside"));
  expect(aside).toMatch(/^acme\+one\./);
  expect(await readFile(join(options.root, ".aside", aside, "file"), "utf8")).toBe("kept");
  expect(await readFile(join(options.state, "aside", aside, "workspace.json"), "utf8")).toBe(record);
  expect(await restarted.create("acme/one", 1n)).toMatchObject({ existed: false });
});

test("something else in the place of records and of staged files keeps no daemon from starting", async () => {
  const { options, workspaces } = await openWorkspaces();
  const { workspace } = await workspaces.create("acme/one", 1n);
  await writeFile(join(options.state, "workspaces", "stray"), "");
  await writeFile(join(options.state, "workspaces", "acme", "stray"), "");
  await rm(join(workspace.stateDirectory, "workspace.json"));
  await mkdir(join(workspace.stateDirectory, "workspace.json"));
  await mkdir(join(options.root, ".staging", "acme", "gone", "left"), { recursive: true });
  const restarted = await Workspaces.open(options);
  await restarted.tidied;
  expect(restarted.list()).toEqual([]);
  expect(await readdir(join(options.root, ".staging", "acme"))).toEqual([]);
});

test("files without a record are set aside, not overwritten, if a workspace of that name is made", async () => {
  const { options, workspaces } = await openWorkspaces();
  await mkdir(join(options.root, "acme", "one"), { recursive: true });
  await writeFile(join(options.root, "acme", "one", "file"), "kept");
  const { workspace } = await workspaces.create("acme/one", 1n);
  expect(await readdir(workspace.path)).toEqual([]);
  const [aside = ""] = await readdir(join(options.root, ".aside"));
  expect(await readFile(join(options.root, ".aside", aside, "file"), "utf8")).toBe("kept");
});

test("a workspace made again after a deletion that failed half-way is empty", async () => {
  const { workspaces } = await openWorkspaces();
  const { workspace } = await workspaces.create("acme/one", 1n);
  await writeFile(join(workspace.path, "file"), "x");
  let broken = true;
  workspaces.beforeDelete(() => (broken ? Promise.reject(new Error("crash")) : Promise.resolve()));
  await expect(workspaces.delete("acme/one", 1n)).rejects.toThrow("crash");
  broken = false;
  await workspaces.create("acme/one", 1n);
  expect(await readdir(workspace.path)).toEqual([]);
});

test("where workspaces can't be kept apart one tenant is served, until its last workspace is gone", async () => {
  const { options } = await openWorkspaces();
  const workspaces = await Workspaces.open({ ...options, oneTenant: true });
  await workspaces.create("acme/one", 1n);
  await workspaces.create("acme/two", 1n);
  expect(await reasonOf(() => workspaces.create("acm/e-one", 1n))).toBe("tenant_refused");
  const restarted = await Workspaces.open({ ...options, oneTenant: true });
  expect(await reasonOf(() => restarted.create("other/one", 1n))).toBe("tenant_refused");
  await restarted.delete("acme/one", 1n);
  await restarted.delete("acme/two", 1n);
  expect((await restarted.create("other/one", 1n)).existed).toBe(false);
});

test("where one tenant is served, of many that come first at once one is", async () => {
  const { options } = await openWorkspaces();
  const workspaces = await Workspaces.open({ ...options, oneTenant: true });
  const reasons = await Promise.all(["a/1", "b/1", "c/1", "a/2"].map((name) => reasonOf(() => workspaces.create(name, 1n))));
  expect(reasons).toEqual(["none", "tenant_refused", "tenant_refused", "none"]);
});
