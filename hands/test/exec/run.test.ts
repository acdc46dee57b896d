import { execFile } from "node:child_process";
import { readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { EndCause } from "@serverless-harness/proto/hands";
import { describe, expect, test } from "vitest";
import { run, spec, startSandbox, takeAll, WORKSPACE } from "../fixtures/sandbox.ts";

describe("with the keeper", () => {
  test("a command's output, streams and exit code come back, with the totals of bytes and lines", async () => {
    const sandbox = await startSandbox();
    const taken = await run(sandbox, "echo out; echo err >&2; echo again; exit 3");
    expect(taken).toMatchObject({ stdout: "out\nagain\n", stderr: "err\n", attached: false });
    expect(taken.pid).toBeGreaterThan(0);
    expect(taken.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 3, signal: "", totalBytes: 14n, totalLines: 3n, message: "" });
  });

  test("a command runs in its workspace, with a small environment of its own", async () => {
    const sandbox = await startSandbox();
    const { path } = sandbox.workspaces.find(WORKSPACE);
    expect((await run(sandbox, "pwd")).stdout).toBe(`${path}\n`);
    expect((await run(sandbox, "mkdir -p sub; cd sub; pwd")).stdout).toBe(`${path}/sub\n`);
    expect((await run(sandbox, "pwd", { cwd: "sub" })).stdout).toBe(`${path}/sub\n`);
    const names = (await run(sandbox, ["env"], { env: { MINE: "1" } })).stdout.split("\n").map((line) => line.split("=")[0]);
    expect(names.filter(Boolean).sort()).toEqual(["HANDS_EXEC", "HOME", "LANG", "LOGNAME", "MINE", "PATH", "SHELL", "TMPDIR", "USER"]);
    expect((await run(sandbox, ["/usr/bin/env"], { env: { MINE: "1" }, clearEnv: true })).stdout).toBe("MINE=1\n");
  });

  test("what can't be started says why and ends as start_failed", async () => {
    const sandbox = await startSandbox();
    const missing = await run(sandbox, ["no-such-program"]);
    expect(missing).toMatchObject({ pid: 0, ended: { cause: EndCause.START_FAILED } });
    expect(missing.ended.message).toMatch(/could not be started: .*(ENOENT|No such file)/i);
    const nowhere = await run(sandbox, "true", { cwd: "not/there" });
    expect(nowhere.ended.cause).toBe(EndCause.START_FAILED);
    expect(nowhere.ended.message).toContain("not/there does not exist");
  });

  test("a signal that hands did not send is told as a shell would, and one that the caller sent as a signal", async () => {
    const sandbox = await startSandbox();
    expect((await run(sandbox, "kill -SEGV $$")).ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 139, signal: "SIGSEGV" });
    const sleeper = spec("sleep 60");
    const taken = takeAll(sandbox.client.run({ spec: sleeper }));
    await started(sandbox, sleeper.execId);
    await sandbox.client.signal({ execId: sleeper.execId, workspace: WORKSPACE, epoch: 5n, signal: "SIGUSR1" });
    expect((await taken).ended).toMatchObject({ cause: EndCause.SIGNALED, signal: "SIGUSR1", exitCode: 138 });
  });

  test("cancel ends the whole tree, also what ignores SIGTERM or left the session", async () => {
    const sandbox = await startSandbox();
    const script = `trap '' TERM; sleep 7101 & setsid sleep 7102 & (setsid bash -c 'trap "" TERM; sleep 7103; sleep 7103' &); echo up; wait; wait; wait`;
    const stubborn = spec(script, { killGraceMs: 100n });
    const taken = takeAll(sandbox.client.run({ spec: stubborn }));
    await outputOf(sandbox, stubborn.execId, 3);
    while ((await processesIn(sandbox, "sleep 710[123]")).length < 3) await setImmediate();
    await sandbox.client.signal({ execId: stubborn.execId, workspace: WORKSPACE, epoch: 5n, cancel: true });
    expect((await taken).ended).toMatchObject({ cause: EndCause.CANCELLED, signal: "SIGKILL" });
    while ((await processesIn(sandbox, "sleep 710[123]")).length > 0) await setImmediate();
  });

  test("cancel reaches what outlives the command itself", async () => {
    const sandbox = await startSandbox();
    const leader = spec(`(trap '' TERM; echo up; exec 1>&- 2>&-; sleep 7104; sleep 7104) & wait`, { killGraceMs: 100n });
    const taken = takeAll(sandbox.client.run({ spec: leader }));
    await outputOf(sandbox, leader.execId, 3);
    await sandbox.client.signal({ execId: leader.execId, workspace: WORKSPACE, epoch: 5n, cancel: true });
    expect((await taken).ended).toMatchObject({ cause: EndCause.CANCELLED, signal: "SIGTERM" });
    while ((await processesIn(sandbox, "sleep 7104")).length > 0) await setImmediate();
  });

  test("a time limit and a limit on silence end a command, with what it wrote until then", async () => {
    const sandbox = await startSandbox();
    const slow = await run(sandbox, "echo begun; sleep 60", { timeoutMs: 200n });
    expect(slow).toMatchObject({ stdout: "begun\n", ended: { cause: EndCause.TIMEOUT } });
    expect(slow.ended.message).toContain("200 ms");
    const silent = await run(sandbox, "for i in 1 2 3 4; do echo $i; sleep 0.1; done; sleep 60", { noOutputTimeoutMs: 300n });
    expect(silent).toMatchObject({ stdout: "1\n2\n3\n4\n", ended: { cause: EndCause.NO_OUTPUT_TIMEOUT } });
  });

  test("a background child that holds the output open does not hold up the end", async () => {
    const sandbox = await startSandbox();
    const taken = await run(sandbox, "sleep 60 & echo $! ; echo done");
    expect(taken.stdout).toMatch(/^\d+\ndone\n$/);
    expect(taken.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 0 });
    process.kill(Number.parseInt(taken.stdout, 10), "SIGKILL");
  });

  test("bytes of any value come back as they were written", async () => {
    const sandbox = await startSandbox();
    const taken = await run(sandbox, "head -c 300000 /dev/urandom > random; cat random");
    const { path } = sandbox.workspaces.find(WORKSPACE);
    expect(taken.bytes.equals(await readFile(join(path, "random")))).toBe(true);
    expect(taken.ended.totalBytes).toBe(300000n);
  });

  test("stdin is empty unless it was asked for", async () => {
    const sandbox = await startSandbox();
    expect((await run(sandbox, "cat; echo end")).stdout).toBe("end\n");
  });
});

type Sandbox = Awaited<ReturnType<typeof startSandbox>>;

async function started(sandbox: Sandbox, execId: string): Promise<void> {
  for await (const { event } of sandbox.client.attach({ execId, workspace: WORKSPACE, epoch: 5n }))
    if (event?.event.case === "started") return;
}

/** Wait until an exec has written this many bytes. */
async function outputOf(sandbox: Sandbox, execId: string, bytes: number): Promise<void> {
  let seen = 0;
  for await (const { event } of sandbox.client.attach({ execId, workspace: WORKSPACE, epoch: 5n })) {
    if (event?.event.case === "output") seen += event.event.value.data.length;
    if (seen >= bytes) return;
  }
}

/** Processes in the workspace whose command line begins like this. */
async function processesIn(sandbox: Sandbox, pattern: string): Promise<number[]> {
  const { path } = sandbox.workspaces.find(WORKSPACE);
  const text = await new Promise<string>((resolve) => execFile("pgrep", ["-f", `^${pattern}`], (_error, stdout) => resolve(stdout)));
  return text
    .split("\n")
    .map(Number)
    .filter((pid) => pid > 0 && directoryOf(pid) === path);
}

/** The working directory of a process; empty where it is gone, or a zombie. */
function directoryOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}
