import { linkSync, mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fromConnectError, HarnessError } from "@serverless-harness/kit/errors";
import { createLogger } from "@serverless-harness/kit/log";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { MkdirResponseSchema } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { type Change, Changes, type Plan, StalePlan } from "../../changes/changes.ts";
import { ChangeLog, type LogLimits } from "../../changes/log.ts";
import { tookPlace } from "../../changes/witness.ts";
import { type Workspace, Workspaces } from "../../workspaces/workspaces.ts";

const MANY: LogLimits = { maxCount: 100, maxBytes: 1_000_000, maxAgeMs: 1_000_000 };
const WITNESS = { kind: "staged_in", staged: "x" } as const;
const intent = (id: string) => ({ id, fingerprint: "f", atMs: Date.now(), witness: WITNESS, draft: {} });
const outcome = (id: string, atMs: number = Date.now()) => ({ id, fingerprint: "f", atMs, result: { id } });

async function logFile(): Promise<string> {
  return join(await temporaryDirectory(), "changes.jsonl");
}

async function openChanges(limits: Partial<LogLimits> = {}) {
  const base = await temporaryDirectory();
  const workspaces = await Workspaces.open({ root: join(base, "workspaces"), state: join(base, "state") });
  const changes = new Changes({ workspaces, durability: "machine", log: createLogger("test", "silent"), limits });
  const { workspace } = await workspaces.create("acme/one", 1n);
  return { workspaces, changes, workspace };
}

type Response = typeof MkdirResponseSchema;

/** A change that appends a line to a file of the workspace by one write, for counting how often it happened. */
function counted(workspace: Workspace, id: string, overrides: Partial<Change<Response>> = {}): Change<Response> {
  return {
    id,
    workspace,
    epoch: 1n,
    path: "count",
    fingerprint: id,
    schema: MkdirResponseSchema,
    plan: () => planOf(() => writeFileSync(join(workspace.path, "count"), "x", { flag: "a" })),
    ...overrides,
  };
}

function planOf(commit: () => void): Plan<Response> {
  return {
    witness: WITNESS,
    draft: {},
    commit: () => {
      commit();
      return {};
    },
    settle: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

test("a log remembers what happened and what was about to, across a restart", async () => {
  const path = await logFile();
  const log = await ChangeLog.load(path, MANY, "machine");
  await log.intend(intent("done"));
  await log.record(outcome("done"));
  await log.intend(intent("withdrawn"));
  await log.withdraw("withdrawn");
  await log.intend(intent("open"));
  const again = await ChangeLog.load(path, MANY, "machine");
  expect(again.get("done")).toMatchObject({ result: { id: "done" } });
  expect(again.get("withdrawn")).toBeUndefined();
  expect(again.open.map(({ id }) => id)).toEqual(["open"]);
});

test("a line that a crash or a full disk cut is as if it was never written", async () => {
  const path = await logFile();
  const log = await ChangeLog.load(path, MANY, "machine");
  await log.record(outcome("first"));
  await appendFile(path, '\n{"id":"cut","fingerp');
  await log.record(outcome("second"));
  const again = await ChangeLog.load(path, MANY, "machine");
  expect([again.get("first")?.id, again.get("cut"), again.get("second")?.id]).toEqual(["first", undefined, "second"]);
});

test("a log forgets the oldest by number, by size and by age", async () => {
  const limits: Array<Partial<LogLimits>> = [{ maxCount: 2 }, { maxBytes: 3 * JSON.stringify(outcome("a")).length - 1 }, { maxAgeMs: 500 }];
  for (const limit of limits) {
    const path = await logFile();
    const log = await ChangeLog.load(path, { ...MANY, ...limit }, "machine");
    const now = Date.now();
    await log.record(outcome("a", now - 1000));
    await log.record(outcome("b", now - 100));
    await log.record(outcome("c", now));
    expect([log.get("a"), log.get("b")?.id, log.get("c")?.id]).toEqual([undefined, "b", "c"]);
  }
});

test("a log's file does not grow for ever", async () => {
  const path = await logFile();
  const log = await ChangeLog.load(path, { ...MANY, maxCount: 5 }, "machine");
  for (let i = 0; i < 700; i++) await log.record(outcome(`id-${i}`));
  expect((await readFile(path, "utf8")).split("\n").length).toBeLessThan(600);
  const again = await ChangeLog.load(path, { ...MANY, maxCount: 5 }, "machine");
  expect(again.get("id-699")).toBeDefined();
  expect((await readFile(path, "utf8")).split("\n").length).toBe(5);
});

test("a file that was linked in but not yet taken from the staging directory has happened", async () => {
  const { workspace } = await openChanges();
  mkdirSync(workspace.stagingDirectory, { recursive: true });
  const staged = join(workspace.stagingDirectory, "x");
  writeFileSync(staged, "");
  expect(tookPlace({ ...WITNESS, linked: true }, workspace)).toBe(false);
  linkSync(staged, join(workspace.path, "file"));
  expect(tookPlace({ ...WITNESS, linked: true }, workspace)).toBe(true);
  unlinkSync(staged);
  expect(tookPlace({ ...WITNESS, linked: true }, workspace)).toBe(true);
});

test("a call that repeats one under way waits for it and gets its answer", async () => {
  const { changes, workspace } = await openChanges();
  const answers = await Promise.all([1, 2, 3].map(() => changes.run(counted(workspace, "same"))));
  expect(answers.map(({ replayed }) => replayed)).toEqual([false, true, true]);
  expect(readFileSync(join(workspace.path, "count"), "utf8")).toBe("x");
});

test("a call that repeats one that fails is carried out itself", async () => {
  const { changes, workspace } = await openChanges();
  const failing = changes.run(counted(workspace, "same", { plan: () => Promise.reject(new Error("no")) }));
  const repeated = changes.run(counted(workspace, "same"));
  await expect(failing).rejects.toThrow("no");
  expect((await repeated).replayed).toBe(false);
});

test("a change that is overtaken is planned again, and refused as busy where it always is", async () => {
  const { changes, workspace } = await openChanges();
  let plans = 0;
  const overtaken = () =>
    planOf(() => {
      plans += 1;
      if (plans < 3) throw new StalePlan();
    });
  await changes.run(counted(workspace, "some", { plan: overtaken }));
  expect(plans).toBe(3);
  const never = changes.run(
    counted(workspace, "never", {
      plan: () =>
        planOf(() => {
          throw new StalePlan();
        }),
    }),
  );
  await expect(never).rejects.toMatchObject({ reason: "busy" });
  const again = await changes.run(counted(workspace, "never"));
  expect(again.replayed).toBe(false);
});

test("an owner who is overtaken between plan and effect has no effect", async () => {
  const { changes, workspace, workspaces } = await openChanges();
  const overtaken = counted(workspace, "late", {
    plan: async () => {
      await workspaces.resolve("acme/one", 2n);
      return planOf(() => writeFileSync(join(workspace.path, "count"), "x"));
    },
  });
  await expect(changes.run(overtaken)).rejects.toMatchObject({ reason: "stale_epoch" });
  expect(readdirSync(workspace.path)).toEqual([]);
});

test("an effect whose durability could not be told counts as happened when the call is repeated", async () => {
  const { changes, workspace } = await openChanges();
  const plan = () => ({
    ...planOf(() => writeFileSync(join(workspace.path, "count"), "x", { flag: "a" })),
    settle: () => Promise.reject(new Error("disk")),
  });
  await expect(changes.run(counted(workspace, "same", { plan }))).rejects.toThrow("disk");
  expect(await changes.run(counted(workspace, "same"))).toMatchObject({ replayed: true });
  expect(readFileSync(join(workspace.path, "count"), "utf8")).toBe("x");
});

test("what happened stays known when more workspaces change than logs are kept in memory", async () => {
  const { changes, workspaces } = await openChanges();
  const names = Array.from({ length: 40 }, (_, i) => `many/${i}`);
  for (const name of names) await changes.run(counted((await workspaces.create(name, 1n)).workspace, "same"));
  for (const name of names) expect(await changes.run(counted(workspaces.find(name), "same"))).toMatchObject({ replayed: true });
});

test("ids are one workspace's own", async () => {
  const { changes, workspace, workspaces } = await openChanges();
  const other = (await workspaces.create("acme/two", 1n)).workspace;
  await changes.run(counted(workspace, "same"));
  expect(await changes.run(counted(other, "same", { fingerprint: "another" }))).toMatchObject({ replayed: false });
});

test("a workspace that is deleted and made again remembers no change, and takes new ones", async () => {
  const { changes, workspace, workspaces } = await openChanges();
  await changes.run(counted(workspace, "same"));
  await workspaces.delete("acme/one", 1n);
  await expect(changes.run(counted(workspace, "same"))).rejects.toMatchObject({ reason: "unknown_workspace" });
  await expect(changes.stage(workspace)).rejects.toMatchObject({ reason: "unknown_workspace" });
  await workspaces.create("acme/one", 2n);
  expect(await changes.run(counted(workspace, "same", { epoch: 2n }))).toMatchObject({ replayed: false });
  await writeFile(await changes.stage(workspace), "");
});

test("deleting a workspace waits for the change under way in it", async () => {
  const { changes, workspace, workspaces } = await openChanges();
  const order: string[] = [];
  let release = (): void => undefined;
  const blocked = new Promise<void>((resolve) => {
    release = resolve;
  });
  const plan = async (): Promise<Plan<Response>> => {
    await blocked;
    return planOf(() => order.push("changed"));
  };
  const running = changes.run(counted(workspace, "slow", { plan })).catch((error: unknown) => order.push(fromConnectError(error).reason));
  const deleted = workspaces.delete("acme/one", 1n).then(() => order.push("deleted"));
  release();
  await Promise.all([running, deleted]);
  expect(order.at(-1)).toBe("deleted");
  expect(order[0]).toMatch(/^(changed|unknown_workspace)$/);
});

test("an id that stands for another change tells so by a HarnessError that clients can read", async () => {
  const { changes, workspace } = await openChanges();
  await changes.run(counted(workspace, "same"));
  const refused = await changes.run(counted(workspace, "same", { fingerprint: "other" })).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(HarnessError);
  expect(refused).toMatchObject({ reason: "id_reused" });
});
