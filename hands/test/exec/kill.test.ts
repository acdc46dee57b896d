import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EndCause } from "@serverless-harness/proto/hands";
import { beforeAll, describe, expect, test } from "vitest";
import type { WorkspaceClient } from "../../client/index.ts";
import { type Daemon, startDaemon } from "../fixtures/daemon.ts";
import { type Followed, follow } from "../fixtures/followed.ts";

/** A process whose first thread has ended, so that it looks dead, while another one lives. Its argument is a number of seconds. */
const HEADLESS = `
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static void *go_on(void *seconds) { sleep((unsigned)atoi(seconds)); exit(0); }
int main(int argc, char **argv) {
  pthread_t thread;
  if (argc != 2 || pthread_create(&thread, 0, go_on, argv[1]) != 0) return 1;
  pthread_exit(0);
}
`;
/** The one that builds the fork server. */
const COMPILER = "cc";
let headless: Buffer;

beforeAll(() => {
  const directory = mkdtempSync(join(tmpdir(), "harness-kill-"));
  writeFileSync(join(directory, "headless.c"), HEADLESS);
  execFileSync(COMPILER, ["-O1", "-pthread", "-static", "-o", join(directory, "headless"), join(directory, "headless.c")]);
  headless = readFileSync(join(directory, "headless"));
  rmSync(directory, { recursive: true });
});

let lastNumber = 0;

/**
 * A command that starts a process in every way to leave its tree, each of which ignores SIGTERM and sleeps for a number of seconds that no other test
 * uses; then it writes `up` and waits. `mark`: their last argument.
 */
function escapes(): { readonly shell: string; readonly mark: string; readonly count: number } {
  const mark = `${7300 + (process.pid % 1000)}.${++lastNumber}`;
  const deaf = `bash -c 'trap "" TERM HUP; exec "$@"' -`;
  const sleep = `sleep ${mark}`;
  const ways = [
    `${deaf} ${sleep} &`,
    `env -i ${deaf} ${sleep} &`,
    `setsid env -i ${deaf} ${sleep} &`,
    `setsid -f env -i ${deaf} ${sleep}`,
    `(env -i setsid ${deaf} ${sleep} & ) &`,
    `bash -c 'trap "" TERM; exec -a "[kworker/0:1]" ${sleep}' &`,
    `(ulimit -q 0; ulimit -S -n 20; ulimit -c 0; setsid -f env -i ${deaf} ${sleep})`,
    `setsid -f env -i ${deaf} ./headless ${mark}`,
  ];
  return { shell: `exec 2>/dev/null; ${ways.join("\n")}\necho up; wait; wait`, mark, count: ways.length };
}

/** Living processes of this machine that carry the mark. One without its first thread shows its arguments by another. */
function living(mark: string): string[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => threadsOf(pid).some((thread) => argumentsOf(`${pid}/task/${thread}`).at(-1) === mark));
}

function threadsOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function argumentsOf(process: string): string[] {
  try {
    return readFileSync(`/proc/${process}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch {
    return [];
  }
}

async function untilLiving(mark: string, count: number): Promise<void> {
  while (living(mark).length !== count) await new Promise((resolve) => setTimeout(resolve, 10));
}

interface Escaped {
  readonly daemon: Daemon;
  readonly workspace: WorkspaceClient;
  readonly exec: Followed;
  readonly mark: string;
}

/** How the programs of a workspace are started. */
const WAYS = [
  ["in the jail", { HANDS_SANDBOX: "bwrap" }],
  ["without a jail", { HANDS_SANDBOX: "process" }],
] as const;

type Settings = (typeof WAYS)[number][1];

async function start(settings: Settings): Promise<{ daemon: Daemon; workspace: WorkspaceClient }> {
  const daemon = await startDaemon({ ...settings, HANDS_GRACE_MS: "0" });
  const workspace = await daemon.connect();
  await workspace.write("headless", headless, { changeId: "headless" });
  await follow(workspace, "chmod +x headless").handle.ended;
  return { daemon, workspace };
}

/** All of them, started; with a time limit those that have the time to. */
async function startEscapes(settings: Settings, timeoutMs = 0): Promise<Escaped> {
  const { daemon, workspace } = await start(settings);
  const { shell, mark, count } = escapes();
  const exec = follow(workspace, shell, { killGraceMs: 100, timeoutMs });
  if (timeoutMs === 0) await untilLiving(mark, count);
  return { daemon, workspace, exec, mark };
}

describe.each(WAYS)("%s a kill of an exec reaches whoever left the tree in any way", (_name, settings) => {
  test("when the time limit passes", async () => {
    const { exec, mark } = await startEscapes(settings, 5000);
    expect((await exec.handle.ended).cause).toBe(EndCause.TIMEOUT);
    await untilLiving(mark, 0);
  });

  test("when the exec is cancelled", async () => {
    const { exec, mark } = await startEscapes(settings);
    await exec.handle.cancel();
    expect((await exec.handle.ended).cause).toBe(EndCause.CANCELLED);
    await untilLiving(mark, 0);
  });

  test("when the workspace is deleted, also of execs that had ended", async () => {
    const { workspace, mark } = await startEscapes(settings);
    const ended = escapes();
    await follow(workspace, ended.shell.replace("wait; wait", "exit 0")).handle.ended;
    await untilLiving(ended.mark, ended.count);
    await workspace.delete();
    await untilLiving(mark, 0);
    await untilLiving(ended.mark, 0);
  });

  test("when the daemon stops, also of execs that had ended", async () => {
    const { daemon, workspace, mark } = await startEscapes(settings);
    const ended = escapes();
    await follow(workspace, ended.shell.replace("wait; wait", "exit 0")).handle.ended;
    await untilLiving(ended.mark, ended.count);
    daemon.process.kill("SIGTERM");
    expect((await daemon.gone).code).toBe(0);
    await untilLiving(mark, 0);
    await untilLiving(ended.mark, 0);
  });

  test("when the daemon is killed", async () => {
    const { daemon, mark } = await startEscapes(settings);
    daemon.process.kill("SIGKILL");
    await untilLiving(mark, 0);
  });

  test("when the command tries to kill whoever watches over it", async () => {
    const daemon = await startDaemon(settings);
    const workspace = await daemon.connect();
    const { shell, mark, count } = escapes();
    const started = follow(
      workspace,
      `${shell.replaceAll("./headless", "sleep").replace("wait; wait", "")}\nread -t 2 <> <(:); kill -9 $PPID || echo refused; wait`,
    );
    // In the jail it is another user's, out of its reach; without one the command ends with it.
    await Promise.race([started.handle.ended, started.until(() => started.text() === "up\nrefused\n")]);
    await started.handle.cancel();
    await started.handle.ended;
    await untilLiving(mark, 0);
    expect(count).toBeGreaterThan(0);
    expect((await follow(workspace, "exit 6").handle.ended).exitCode).toBe(6);
  });
});

/** The same in a terminal; `program` comes after them. */
async function openEscapes(workspace: WorkspaceClient, terminalId: string, program: string): Promise<string> {
  const { shell, mark, count } = escapes();
  await workspace.openTerminal({ terminalId, argv: ["bash", "-c", shell.replace("wait; wait", program)] });
  if (program === "wait; wait") await untilLiving(mark, count);
  return mark;
}

describe.each(WAYS)("%s the end of a terminal reaches whoever left the tree in any way", (_name, settings) => {
  test("when it is closed, or ended by itself and is closed then", async () => {
    const { workspace } = await start(settings);
    const marks = [await openEscapes(workspace, "one", "wait; wait"), await openEscapes(workspace, "two", "exit 3")];
    while (!(await workspace.listTerminals()).some(({ terminalId, ended }) => terminalId === "two" && ended !== undefined));
    for (const id of ["one", "two"]) await workspace.closeTerminal(id);
    for (const mark of marks) await untilLiving(mark, 0);
  });

  test("when the workspace is deleted", async () => {
    const { workspace } = await start(settings);
    const mark = await openEscapes(workspace, "one", "wait; wait");
    await workspace.delete();
    await untilLiving(mark, 0);
  });

  test.each(["SIGTERM", "SIGKILL"] as const)("when the daemon gets %s", async (signal) => {
    const { daemon, workspace } = await start(settings);
    const mark = await openEscapes(workspace, "one", "wait; wait");
    daemon.process.kill(signal);
    await daemon.gone;
    await untilLiving(mark, 0);
  });

  test.each([
    ["what stands over it", "kill -9 $PPID; wait"],
    ["what stands over that", 'read -r _ _ _ above _ </proc/$PPID/stat; [ "$(cat /proc/$above/comm)" = guard ] && kill -9 $above; wait'],
  ])("when its program kills %s", async (_whom, program) => {
    const { workspace } = await start(settings);
    const mark = await openEscapes(workspace, "one", program);
    await workspace.closeTerminal("one");
    await untilLiving(mark, 0);
    expect((await follow(workspace, "exit 6").handle.ended).exitCode).toBe(6);
  });
});
