import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { EndCause, GapReason } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { EPOCH, LIMITS, type Sandbox, spec, startSandbox, takeAll, WORKSPACE } from "../fixtures/sandbox.ts";

const attach = (sandbox: Sandbox, execId: string, fromOffset = 0n) =>
  takeAll(sandbox.client.attach({ execId, workspace: WORKSPACE, epoch: EPOCH, fromOffset }));

test.each([
  ["small and quick", "echo out; echo err >&2; echo again"],
  ["small and slow", "echo out; sleep 0.05; echo err >&2; sleep 0.05; echo again"],
  ["nothing", "true"],
  ["large", "seq 20000; seq 20000 >&2"],
])("output that is %s is replayed after a restart as it was", async (_what, command) => {
  const base = await temporaryDirectory();
  const before = await startSandbox({ base });
  const one = spec(command);
  const { stdout, stderr, ended, bytes } = await takeAll(before.client.run({ spec: one }));
  for (const sandbox of [before, await startSandbox({ base })]) {
    const replay = await attach(sandbox, one.execId);
    expect(replay).toMatchObject({ stdout, stderr, ended });
    expect(replay.bytes.equals(bytes)).toBe(true);
  }
});

test("what ended is there after a restart, from every offset, and what ran is lost and never run again", async () => {
  const base = await temporaryDirectory();
  const before = await startSandbox({ base });
  const ended = spec("echo one; echo two >&2; exit 4");
  const first = await takeAll(before.client.run({ spec: ended }));
  const running = spec("echo x >> ran; echo begun; sleep 60");
  const events = before.client.run({ spec: running })[Symbol.asyncIterator]();
  await events.next();
  await events.next();
  await untilFileHas(join(before.workspaces.find(WORKSPACE).stateDirectory, "execs", `${running.execId}.0.out`), "begun\n");
  // A second daemon over the same state sees what a killed one leaves.
  const after = await startSandbox({ base });
  const replay = await attach(after, ended.execId);
  expect(replay).toMatchObject({ stdout: first.stdout, stderr: first.stderr, ended: first.ended });
  expect((await attach(after, ended.execId, 4n)).stderr).toBe("two\n");
  const lost = await takeAll(after.client.run({ spec: running }));
  expect(lost).toMatchObject({
    attached: true,
    pid: 0,
    stdout: "begun\n",
    ended: { cause: EndCause.LOST, totalBytes: 6n, totalLines: 1n },
  });
  expect(lost.ended.message).toContain("not run again");
  expect(await readFile(join(after.workspaces.find(WORKSPACE).path, "ran"), "utf8")).toBe("x\n");
  // What was left of it was killed: the old daemon, which lives here, sees it end.
  let last: string | undefined;
  for (let next = await events.next(); next.done !== true; next = await events.next()) last = next.value.event?.event.case;
  expect(last).toBe("ended");
});

test("a damaged journal costs the damaged lines, not the daemon", async () => {
  const base = await temporaryDirectory();
  const before = await startSandbox({ base });
  const kept = spec("echo kept");
  await takeAll(before.client.run({ spec: kept }));
  const journal = join(before.workspaces.find(WORKSPACE).stateDirectory, "execs", "execs.jsonl");
  await appendFile(journal, '{"type":"intent","intent":{"id":"torn","seq":9');
  const after = await startSandbox({ base });
  expect((await attach(after, kept.execId)).stdout).toBe("kept\n");
  await expect(attach(after, "torn").catch((error: unknown) => Promise.reject(fromConnectError(error)))).rejects.toMatchObject({
    code: Code.NotFound,
    reason: "unknown_exec",
  });
  const fresh = spec("echo fresh");
  await takeAll(after.client.run({ spec: fresh }));
  const again = await startSandbox({ base });
  expect((await attach(again, fresh.execId)).stdout).toBe("fresh\n");
});

test("an output file that is gone is told as a gap, with the end that is known", async () => {
  const base = await temporaryDirectory();
  const before = await startSandbox({ base });
  const kept = spec("seq 2000");
  const { bytes } = await takeAll(before.client.run({ spec: kept }));
  await writeFile(join(before.workspaces.find(WORKSPACE).stateDirectory, "execs", `${kept.execId}.0.out`), "1");
  const after = await startSandbox({ base });
  const gaps = [{ from: 0, to: bytes.length, reason: GapReason.TRIMMED }];
  expect(await attach(after, kept.execId)).toMatchObject({ stdout: "", gaps, ended: { exitCode: 0 } });
});

test("ended execs beyond the limits on count, age and bytes are forgotten, or only their output", async () => {
  const base = await temporaryDirectory();
  const sandbox = await startSandbox({ base, limits: { keptExecs: 3, keptBytes: 12 } });
  const specs = Array.from({ length: 5 }, (_, i) => spec(`echo out-${i}`));
  for (const one of specs) await takeAll(sandbox.client.run({ spec: one }));
  await sandbox.execs.prune();
  const outcomes = await Promise.all(
    specs.map(({ execId }) =>
      attach(sandbox, execId).then(
        (taken) => taken.stdout || taken.gaps,
        () => "forgotten",
      ),
    ),
  );
  expect(outcomes).toEqual(["forgotten", "forgotten", [{ from: 0, to: 6, reason: GapReason.TRIMMED }], "out-3\n", "out-4\n"]);
  const restarted = await startSandbox({ base, limits: LIMITS });
  expect((await restarted.client.list({ workspace: WORKSPACE })).execs.map(({ execId }) => execId)).toEqual(
    specs
      .slice(2)
      .map(({ execId }) => execId)
      .reverse(),
  );
});

test("many execs in a short time are forgotten as they end, not only at the next regular pruning", async () => {
  const sandbox = await startSandbox({ limits: { keptExecs: 10 } });
  let most = 0;
  for (let i = 0; i < 300; i++) {
    await takeAll(sandbox.client.run({ spec: spec("true") }));
    if (i % 25 === 0) most = Math.max(most, (await sandbox.execs.list(WORKSPACE, { runningOnly: false, before: Infinity })).length);
  }
  expect(most).toBeGreaterThan(50);
  expect(most).toBeLessThan(200);
});

async function untilFileHas(path: string, text: string): Promise<void> {
  while ((await readFile(path, "utf8").catch(() => "")) !== text) await new Promise((resolve) => setImmediate(resolve));
}
