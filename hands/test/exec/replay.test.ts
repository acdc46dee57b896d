import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { EndCause, GapReason } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { EPOCH, run, type Sandbox, spec, startSandbox, takeAll, WORKSPACE } from "../fixtures/sandbox.ts";

const attach = (sandbox: Sandbox, execId: string, fromOffset = 0n) =>
  takeAll(sandbox.client.attach({ execId, workspace: WORKSPACE, epoch: EPOCH, fromOffset }));

async function reasonOf(promise: Promise<unknown>): Promise<{ code: Code; reason: string; message: string }> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => fromConnectError(thrown),
  );
  if (error === undefined) throw new Error("it was not refused");
  return { code: error.code, reason: error.reason, message: error.message };
}

test("one id runs once, however often and however many at a time ask for it", async () => {
  const sandbox = await startSandbox();
  const once = spec("echo x >> ran; echo out; sleep 0.2; wc -l < ran");
  const takes = await Promise.all(Array.from({ length: 20 }, () => takeAll(sandbox.client.run({ spec: once }))));
  const later = await takeAll(sandbox.client.run({ spec: once }));
  expect(new Set([...takes, later].map(({ stdout }) => stdout))).toEqual(new Set(["out\n1\n"]));
  expect(takes.filter(({ attached }) => !attached)).toHaveLength(1);
  expect(later).toMatchObject({ attached: true, pid: 0 });
  expect(await readFile(join(sandbox.workspaces.find(WORKSPACE).path, "ran"), "utf8")).toBe("x\n");
});

test("the same id with another command is refused, also in another order of variables it is the same", async () => {
  const sandbox = await startSandbox();
  const first = spec("true", { env: { A: "1", B: "2" } });
  await takeAll(sandbox.client.run({ spec: first }));
  expect(await takeAll(sandbox.client.run({ spec: { ...first, env: { B: "2", A: "1" } } }))).toMatchObject({ attached: true });
  const others = [
    { ...first, command: { case: "shell" as const, value: "false" } },
    { ...first, env: { A: "1" } },
    { ...first, cwd: "sub" },
    { ...first, timeoutMs: 1n },
  ];
  for (const other of others) {
    expect(await reasonOf(takeAll(sandbox.client.run({ spec: other })))).toMatchObject({ code: Code.AlreadyExists, reason: "id_reused" });
  }
});

test("a replay gives the same bytes from every offset, while it runs and after its end", async () => {
  const sandbox = await startSandbox();
  const talker = spec(
    "for i in $(seq 200); do echo line $i; echo error $i >&2; done; touch half; while [ ! -e go ]; do sleep 0.01; done; seq 100",
  );
  const whole = takeAll(sandbox.client.run({ spec: talker }));
  await firstEvent(sandbox, talker.execId);
  const marks = [0n, 1n, 1000n];
  const running = marks.map((mark) => attach(sandbox, talker.execId, mark));
  await run(sandbox, "while [ ! -e half ]; do sleep 0.01; done; touch go");
  const { bytes, ended, stdout, stderr } = await whole;
  const after = [...marks, BigInt(bytes.length - 1), BigInt(bytes.length), BigInt(bytes.length + 5)].map((mark) =>
    attach(sandbox, talker.execId, mark),
  );
  for (const [index, taken] of (await Promise.all([...running, ...after])).entries()) {
    const offset = Number([...marks, ...marks, BigInt(bytes.length - 1), BigInt(bytes.length), BigInt(bytes.length)][index]);
    expect(taken.bytes.equals(bytes.subarray(offset))).toBe(true);
    expect(taken.ended).toEqual(ended);
  }
  expect(stdout).toContain("line 200\n1\n2\n");
  expect(stderr.split("\n")).toHaveLength(201);
  expect(await attach(sandbox, talker.execId)).toMatchObject({ stdout, stderr, attached: true });
});

test("an older owner is refused once a newer one was seen, and the newer one attaches to what the older one ran", async () => {
  const sandbox = await startSandbox();
  const old = spec("echo kept; sleep 0.2");
  const running = takeAll(sandbox.client.run({ spec: old }));
  await firstEvent(sandbox, old.execId);
  expect(await takeAll(sandbox.client.run({ spec: spec("true", { epoch: 6n }) }))).toMatchObject({ attached: false });
  for (const epoch of [EPOCH, 0n]) {
    expect(await reasonOf(takeAll(sandbox.client.run({ spec: spec("true", { epoch }) })))).toMatchObject({
      code: Code.FailedPrecondition,
      reason: "stale_epoch",
    });
    const named = { execId: old.execId, workspace: WORKSPACE, epoch };
    expect(await reasonOf(sandbox.client.signal(named))).toMatchObject({ reason: "stale_epoch" });
    expect(await reasonOf(takeAll(sandbox.client.attach(named)))).toMatchObject({ reason: "stale_epoch" });
  }
  expect(await takeAll(sandbox.client.run({ spec: { ...old, epoch: 6n } }))).toMatchObject({ stdout: "kept\n", attached: true });
  expect(await running).toMatchObject({ stdout: "kept\n" });
});

test("output beyond the limit is dropped from the front and told as a gap, and what is left is right", async () => {
  const sandbox = await startSandbox({ limits: { outputBytes: 256 * 1024 } });
  const long = spec("seq 200000");
  const { ended, bytes } = await takeAll(sandbox.client.run({ spec: long, fromOffset: 0n }));
  const total = Number(ended.totalBytes);
  expect(bytes.length).toBe(total);
  const replay = await attach(sandbox, long.execId);
  expect(replay.gaps).toEqual([{ from: 0, to: total - replay.bytes.length, reason: GapReason.TRIMMED }]);
  expect(replay.bytes.length).toBeLessThanOrEqual(256 * 1024);
  expect(replay.bytes.length).toBeGreaterThan(64 * 1024);
  expect(replay.bytes.equals(bytes.subarray(total - replay.bytes.length))).toBe(true);
  const { exec } = await sandbox.client.get({ execId: long.execId, workspace: WORKSPACE });
  expect(Number(exec?.firstOffset)).toBe(total - replay.bytes.length);
});

test("too many at once are refused by the name of the limit, and there is room again when one has ended", async () => {
  const sandbox = await startSandbox({ limits: { openExecs: 2 } });
  const waiting = [spec("cat go*"), spec("cat go*")].map((fifo) => ({
    ...fifo,
    command: { case: "shell" as const, value: "while [ ! -e go ]; do sleep 0.01; done" },
  }));
  const takes = waiting.map((one) => takeAll(sandbox.client.run({ spec: one })));
  for (const one of waiting) await firstEvent(sandbox, one.execId);
  const refused = await reasonOf(run(sandbox, "true"));
  expect(refused).toMatchObject({ code: Code.ResourceExhausted, reason: "limit_reached" });
  expect(await takeAll(sandbox.client.run({ spec: { ...spec("touch go"), workspace: await otherWorkspace(sandbox) } }))).toBeDefined();
  await writeFile(join(sandbox.workspaces.find(WORKSPACE).path, "go"), "");
  await Promise.all(takes);
  expect((await run(sandbox, "echo room")).stdout).toBe("room\n");
});

async function otherWorkspace(sandbox: Sandbox): Promise<string> {
  await sandbox.workspaces.create("acme/two", EPOCH);
  return "acme/two";
}

async function firstEvent(sandbox: Sandbox, execId: string): Promise<void> {
  // Run was asked for on another stream: it may not have arrived yet.
  for (;;) {
    try {
      for await (const _ of sandbox.client.attach({ execId, workspace: WORKSPACE, epoch: EPOCH })) return;
    } catch (error) {
      if (fromConnectError(error).reason !== "unknown_exec") throw error;
    }
  }
}

test("execs are listed newest first, in pages that new ones don't shift", async () => {
  const sandbox = await startSandbox();
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) {
    const one = spec("true");
    ids.unshift(one.execId);
    await takeAll(sandbox.client.run({ spec: one }));
  }
  const first = await sandbox.client.list({ workspace: WORKSPACE, pageSize: 2 });
  await run(sandbox, "true");
  const second = await sandbox.client.list({ workspace: WORKSPACE, pageSize: 2, pageToken: first.nextPageToken });
  const third = await sandbox.client.list({ workspace: WORKSPACE, pageSize: 2, pageToken: second.nextPageToken });
  expect([...first.execs, ...second.execs, ...third.execs].map(({ execId }) => execId)).toEqual(ids);
  expect(third.nextPageToken).toBe("");
  expect(first.execs[0]).toMatchObject({ commandPreview: "true", pid: 0n, ended: { cause: EndCause.EXITED } });
  expect((await sandbox.client.list({ workspace: WORKSPACE, runningOnly: true })).execs).toEqual([]);
});

test("a deleted workspace ends its execs and forgets them", async () => {
  const sandbox = await startSandbox();
  const sleeper = spec("echo up; sleep 60");
  const taken = takeAll(sandbox.client.run({ spec: sleeper }));
  await firstEvent(sandbox, sleeper.execId);
  await sandbox.workspaces.delete(WORKSPACE, EPOCH);
  expect((await taken).ended.cause).toBe(EndCause.CANCELLED);
  expect(await reasonOf(attach(sandbox, sleeper.execId))).toMatchObject({ reason: "unknown_workspace" });
  await sandbox.workspaces.create(WORKSPACE, EPOCH + 1n);
  expect(
    await takeAll(sandbox.client.run({ spec: { ...sleeper, epoch: EPOCH + 1n, command: { case: "shell", value: "echo new" } } })),
  ).toMatchObject({
    attached: false,
    stdout: "new\n",
  });
});

test("hands that stops lets running commands end, then ends them, and starts nothing new", async () => {
  const sandbox = await startSandbox();
  const short = spec("echo up; sleep 0.2; echo by itself");
  const long = spec("echo up; sleep 60");
  const takes = [short, long].map((one) => takeAll(sandbox.client.run({ spec: one })));
  for (const one of [short, long]) await firstEvent(sandbox, one.execId);
  const drained = sandbox.execs.drain(1000);
  expect(await reasonOf(run(sandbox, "true"))).toMatchObject({ code: Code.Unavailable, reason: "draining" });
  await drained;
  const [first, second] = await Promise.all(takes);
  expect(first).toMatchObject({ stdout: "up\nby itself\n", ended: { cause: EndCause.EXITED, exitCode: 0 } });
  expect(second?.ended).toMatchObject({ cause: EndCause.SHUT_DOWN });
  expect(second?.ended.message).toContain("the sandbox was shut down");
});

test("a flood of short lines on both streams is kept in order, each byte in its stream", async () => {
  const sandbox = await startSandbox();
  const program = `for (let i = 0; i < 20000; i++) require("fs").writeSync(1 + (i % 2), i + "\\n")`;
  const both = spec([process.execPath, "-e", program]);
  const live = await takeAll(sandbox.client.run({ spec: both }));
  const replay = await attach(sandbox, both.execId);
  const hash = (text: string) => createHash("sha256").update(text).digest("hex");
  const numbers = (first: number) => Array.from({ length: 10000 }, (_, i) => `${2 * i + first}\n`).join("");
  for (const taken of [live, replay]) {
    expect(hash(taken.stdout)).toBe(hash(numbers(0)));
    expect(hash(taken.stderr)).toBe(hash(numbers(1)));
  }
  expect(replay.bytes.equals(live.bytes)).toBe(true);
});
