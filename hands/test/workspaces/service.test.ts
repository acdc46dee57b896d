import { access, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { generateKeys, TokenMint, TokenVerifier } from "@serverless-harness/kit/hands-token";
import { startServer, temporaryDirectory } from "@serverless-harness/kit/testing";
import { WorkspaceService } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { authenticate } from "../../rpc/auth.ts";
import { workspaceService } from "../../rpc/workspace.ts";
import { Workspaces } from "../../workspaces/workspaces.ts";
import { reasonOf } from "../files/service.ts";
import { openTrees } from "../fixtures/trees.ts";

async function start() {
  const base = await temporaryDirectory();
  const workspaces = await Workspaces.open({ root: join(base, "workspaces"), state: join(base, "state") });
  const trees = await openTrees(base);
  workspaces.beforeDelete((workspace) => trees.release(workspace));
  const keys = generateKeys();
  const mint = new TokenMint(keys.privateKey);
  const { client } = await startServer({
    routes: (router) => void router.service(WorkspaceService, workspaceService({ workspaces, trees })),
    interceptors: [authenticate({ verifier: new TokenVerifier(keys.publicKey), workspaces })],
  });
  const as = (...scopes: string[]) =>
    createClient(
      WorkspaceService,
      client(() => mint.mint({ subject: "test", scopes, expiresAtMs: Date.now() + 60_000 })),
    );
  return { base, workspaces, as };
}

test("a workspace is created once, taken over by a newer epoch, and refused to an older one", async () => {
  const { as } = await start();
  const service = as("acme/*");
  const first = await service.create({ workspace: "acme/one", epoch: 2n });
  expect(first).toMatchObject({ existed: false, workspace: { name: "acme/one", epoch: 2n } });
  await writeFile(join(first.workspace?.path ?? "", "file"), "kept");
  const second = await service.create({ workspace: "acme/one", epoch: 3n });
  expect(second).toMatchObject({ existed: true, workspace: { epoch: 3n, createdAtMs: first.workspace?.createdAtMs } });
  await access(join(first.workspace?.path ?? "", "file"));
  expect(await reasonOf(() => service.create({ workspace: "acme/one", epoch: 2n }))).toBe("stale_epoch");
});

test("many creations at once make one workspace", async () => {
  const { as } = await start();
  const service = as("*");
  const answers = await Promise.all(Array.from({ length: 10 }, () => service.create({ workspace: "acme/one", epoch: 1n })));
  expect(answers.filter(({ existed }) => !existed)).toHaveLength(1);
});

test("the list shows what the token covers and nothing else", async () => {
  const { as } = await start();
  const all = as("*");
  for (const workspace of ["b/1", "a/2", "a/1"]) await all.create({ workspace, epoch: 1n });
  const listed = async (...scopes: string[]) => (await as(...scopes).list({})).workspaces.map(({ name }) => name);
  expect(await listed("*")).toEqual(["a/1", "a/2", "b/1"]);
  expect(await listed("a/*")).toEqual(["a/1", "a/2"]);
  expect(await listed("b/1", "a/2")).toEqual(["a/2", "b/1"]);
  expect(await listed("c/1")).toEqual([]);
  expect(await reasonOf(() => as("a/1").create({ workspace: "b/2", epoch: 1n }))).toBe("out_of_scope");
});

test("a workspace that is forgotten leaves nothing, here or in the artifact store; one that is only deleted leaves its snapshots", async () => {
  const { as, base } = await start();
  const service = as("*");
  const artifacts = join(base, "artifacts", "acme");
  for (const name of ["one", "two"]) {
    await service.create({ workspace: `acme/${name}`, epoch: 2n });
    await service.snapshot({ workspace: `acme/${name}`, epoch: 2n, snapshotId: "first" });
  }
  await service.delete({ workspace: "acme/two", epoch: 2n });
  expect(await reasonOf(() => service.delete({ workspace: "acme/one", epoch: 1n, forget: true }))).toBe("stale_epoch");
  expect(await readdir(artifacts)).toEqual(["one", "two"]);
  for (let i = 0; i < 2; i++) await service.delete({ workspace: "acme/one", epoch: 2n, forget: true });
  expect(await readdir(artifacts)).toEqual(["two"]);
  expect(await readdir(join(base, "workspaces", "acme"))).toEqual([]);
  expect(await readdir(join(base, "state", "workspaces", "acme"))).toEqual(["two"]);
  // Of a workspace that another sandbox had.
  const other = await openTrees(join(base, "other"), join(base, "artifacts"));
  await other.deleteSnapshots("acme/two");
  expect(await readdir(artifacts)).toEqual([]);
  expect((await service.create({ workspace: "acme/one", epoch: 1n })).existed).toBe(false);
});

test("delete removes the files, may be repeated, and leaves the name to a newer owner only", async () => {
  const { as, workspaces } = await start();
  const service = as("*");
  const { workspace } = await service.create({ workspace: "acme/one", epoch: 2n });
  expect(await reasonOf(() => service.delete({ workspace: "acme/one", epoch: 1n }))).toBe("stale_epoch");
  await service.delete({ workspace: "acme/one", epoch: 2n });
  await service.delete({ workspace: "acme/one", epoch: 2n });
  await expect(access(workspace?.path ?? "")).rejects.toThrow("ENOENT");
  expect(workspaces.list()).toEqual([]);
  expect(await reasonOf(() => service.create({ workspace: "acme/one", epoch: 1n }))).toBe("stale_epoch");
  expect((await service.create({ workspace: "acme/one", epoch: 2n })).existed).toBe(false);
});
