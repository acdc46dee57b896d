import { mkdir, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { childrenOf } from "@serverless-harness/kit/proc";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { EndCause } from "@serverless-harness/proto/hands";
import { describe, expect, test } from "vitest";
import { readConfig, VARIABLES } from "../../config.ts";
import { startDaemon } from "../fixtures/daemon.ts";
import { checkUpdates, follow } from "../fixtures/followed.ts";
import { WORKSPACE } from "../fixtures/sandbox.ts";

describe("a daemon", () => {
  test("killed in the middle of an exec replays what ended, and reports what ran as lost and dead", async () => {
    const first = await startDaemon();
    const workspace = await first.connect();
    const ended = follow(workspace, "echo kept; exit 7", { execId: "ended" });
    await ended.handle.ended;
    const running = follow(workspace, "echo x >> ran; echo $$; exec sleep 61", { execId: "running" });
    await running.until(() => running.text() !== "");
    const pid = Number.parseInt(running.text(), 10);
    first.process.kill("SIGKILL");
    await first.gone;
    const second = await startDaemon({}, first.base);
    // The client that was there all the time finds the new daemon by itself.
    const end = await running.handle.ended;
    expect(end.cause).toBe(EndCause.LOST);
    checkUpdates(running.updates);
    await untilGone(pid);
    const again = await second.connect();
    const replay = follow(again, "echo kept; exit 7", { execId: "ended" });
    expect(await replay.handle.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 7 });
    expect(replay.text()).toBe("kept\n");
    const repeated = follow(again, "echo x >> ran; echo $$; exec sleep 61", { execId: "running" });
    expect((await repeated.handle.ended).cause).toBe(EndCause.LOST);
    expect(await readFile(join(first.base, "workspaces", WORKSPACE, "ran"), "utf8")).toBe("x\n");
  });

  test("asked to stop ends what runs, says so, and exits with 0", async () => {
    const daemon = await startDaemon({ HANDS_GRACE_MS: "2000" });
    const workspace = await daemon.connect();
    const short = follow(workspace, "echo up; sleep 0.1; echo by itself");
    const long = follow(workspace, "echo up; sleep 62");
    await Promise.all([short, long].map((one) => one.until(() => one.text().startsWith("up\n"))));
    daemon.process.kill("SIGTERM");
    expect(await short.handle.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 0 });
    expect(short.text()).toBe("up\nby itself\n");
    expect(await long.handle.ended).toMatchObject({ cause: EndCause.SHUT_DOWN });
    expect(await daemon.gone).toEqual({ code: 0, signal: null });
    expect(await readdir(join(daemon.base, "socket"))).toEqual([]);
  });

  test("gives commands none of its own environment and descriptors", async () => {
    const daemon = await startDaemon({ SECRET_OF_THE_DAEMON: "do not tell" });
    const listed = follow(await daemon.connect(), "env; ls -l /proc/self/fd; cat /proc/$$/environ");
    await listed.handle.ended;
    expect(listed.text()).not.toContain("SECRET_OF_THE_DAEMON");
    expect(listed.text()).not.toContain("HANDS_STATE");
    // Standard input, output and error, and the directory that is being listed.
    expect([...listed.text().matchAll(/ (\d+) -> /g)].map(([, number]) => number)).toEqual(["0", "1", "2", "3"]);
  });
});

async function untilGone(pid: number): Promise<void> {
  while (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")) await new Promise((resolve) => setImmediate(resolve));
}

test("it says in one line that commands run unconfined, and never what a secret is", async () => {
  const daemon = await startDaemon();
  await daemon.connect();
  expect(daemon.log().match(/unconfined/g)).toHaveLength(1);
  expect(daemon.log()).not.toMatch(/BEGIN|eyJ/);
});

test("a client that breaks off in the middle of anything leaves the daemon up", async () => {
  const daemon = await startDaemon();
  const workspace = await daemon.connect();
  const path = join(daemon.base, "socket", "hands.sock");
  for (const bytes of [
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x04\xff\xff\0\0\0",
    "POST / HTTP/1.1\r\n",
    "\0\0\0",
  ]) {
    await new Promise<void>((resolve) => {
      const socket = connect(path, () => socket.write(bytes, "latin1", () => socket.destroy()));
      socket.on("close", () => resolve()).on("error", () => undefined);
    });
  }
  const after = follow(workspace, "echo up");
  await after.handle.ended;
  expect(after.text()).toBe("up\n");
  expect(daemon.process.exitCode).toBeNull();
});

test.each([
  [
    "nothing set",
    { HANDS_LISTEN: "", HANDS_WORKSPACES: "", HANDS_STATE: "" },
    ["HANDS_LISTEN is not set", "HANDS_WORKSPACES is not set", "HANDS_STATE is not set"],
  ],
  ["an address of no kind", { HANDS_LISTEN: "ftp://x" }, ['HANDS_LISTEN is "ftp://x"']],
  ["TCP without a key", { HANDS_LISTEN: "127.0.0.1:0", HANDS_PUBLIC_KEY_FILE: "" }, ["HANDS_PUBLIC_KEY_FILE is not set"]],
  ["a relative directory", { HANDS_STATE: "state" }, ['HANDS_STATE is "state"']],
  [
    "its state where commands can change it",
    { HANDS_WORKSPACES: "/tmp/w", HANDS_STATE: "/tmp/w/state" },
    ["HANDS_STATE is in HANDS_WORKSPACES"],
  ],
  ["a key that is none", { HANDS_PUBLIC_KEY_FILE: "/etc/passwd" }, ["HANDS_PUBLIC_KEY_FILE can't be used"]],
  ["a limit that is no number", { HANDS_OPEN_EXECS: "many" }, ['HANDS_OPEN_EXECS is "many"']],
  ["no network without a jail", { HANDS_NETWORK: "none" }, ["HANDS_NETWORK=none needs HANDS_SANDBOX=bwrap"]],
  ["a public network without a jail", { HANDS_NETWORK: "public" }, ["HANDS_NETWORK=public needs HANDS_SANDBOX=bwrap"]],
  ["private hosts that are none", { HANDS_PRIVATE_HOSTS: "10.0.0.0/40" }, ['HANDS_PRIVATE_HOSTS can\'t be used: "10.0.0.0/40"']],
])("a setting that can't be used is told in words, with exit code 64: %s", async (_what, variables, messages) => {
  const daemon = await startDaemon(variables);
  expect(await daemon.gone).toEqual({ code: 64, signal: null });
  for (const message of messages) expect(daemon.log()).toContain(message);
  expect(daemon.log()).not.toContain("    at ");
});

test("a full state volume refuses new execs with what to do, costs running ones their replay only, and serves again when there is room", async () => {
  const base = await temporaryDirectory();
  const state = join(base, "state");
  await mkdir(state);
  const tiny = [
    "bwrap",
    "--bind",
    "/",
    "/",
    "--dev-bind",
    "/dev",
    "/dev",
    "--proc",
    "/proc",
    "--size",
    "400000",
    "--tmpfs",
    state,
    "--die-with-parent",
  ];
  const daemon = await startDaemon({ HANDS_STATE: state }, undefined, tiny);
  const workspace = await daemon.connect();
  const fill = `head -c 1000000 /dev/zero > ${state}/full; echo full`;
  const running = follow(workspace, `while [ ! -e go ]; do sleep 0.01; done; seq 100000; exit 3`);
  await follow(workspace, fill).handle.ended;
  // The journal's last block may take a few lines more.
  let refused: unknown;
  for (let i = 0; i < 50 && refused === undefined; i++) {
    await follow(workspace, "true").handle.ended.catch((error: HarnessError) => (refused = error));
  }
  expect(refused).toMatchObject({ code: Code.ResourceExhausted, reason: "journal_failed" });
  await writeFile(join(daemon.base, "workspaces", WORKSPACE, "go"), "");
  const ended = await running.handle.ended;
  expect(ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 3, totalBytes: 588_895n });
  // What can neither be kept nor waited for is told as a gap.
  checkUpdates(running.updates);
  const last = running.updates.at(-1);
  expect(last?.kind === "output" ? last.offset + last.data.length : last?.kind === "gap" && last.to).toBe(588_895);
  expect(ended.message).toContain("could not be kept (ENOSPC)");
  const [jailed] = childrenOf(daemon.process.pid ?? 0);
  await truncate(`/proc/${jailed}/root${state}/full`);
  const after = follow(workspace, "echo room");
  await after.handle.ended;
  expect(after.text()).toBe("room\n");
});

test("a socket in use is told, and the daemon that has it goes on", async () => {
  const first = await startDaemon();
  const workspace = await first.connect();
  const second = await startDaemon({ HANDS_STATE: join(first.base, "other"), HANDS_WORKSPACES: join(first.base, "others") }, first.base);
  expect(await second.gone).toEqual({ code: 64, signal: null });
  expect(second.log()).toContain("in use");
  await follow(workspace, "true").handle.ended;
});

test("a socket file that a killed daemon left is no obstacle", async () => {
  const first = await startDaemon();
  await first.connect();
  first.process.kill("SIGKILL");
  await first.gone;
  expect(await readdir(join(first.base, "socket"))).toEqual(["hands.sock"]);
  await (await startDaemon({}, first.base)).connect();
});

test("the README lists every variable, and no other", async () => {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const cells = [...readme.matchAll(/^\|( `.*?) \|/gm)].map(([, cell]) => cell ?? "");
  const listed = cells.flatMap((cell) => [...cell.matchAll(/`([A-Za-z_]+)`/g)].map(([, name]) => name));
  expect(listed.sort()).toEqual([...VARIABLES].sort());
});

test("the defaults of the settings are those that are meant", () => {
  const config = readConfig({ HANDS_LISTEN: "unix:/x", HANDS_WORKSPACES: "/w", HANDS_STATE: "/s" });
  expect(config).toMatchObject({
    sandbox: "bwrap",
    network: "public",
    home: "/w/.home",
    temporary: "/w/.tmp",
    graceMs: 2000,
  });
  expect(config.limits).toMatchObject({ openExecs: 64, outputBytes: 64 * 1024 * 1024, spillBytes: 1024 ** 3, wallMs: 0 });
});
