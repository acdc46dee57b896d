import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";

const SANDBOXES = ["process", "bwrap"];

test.each(SANDBOXES)("a second daemon on the same state refuses, and the first one goes on: sandbox %s", async (sandbox) => {
  const first = await startDaemon({ HANDS_SANDBOX: sandbox });
  const workspace = await first.connect();
  const running = follow(workspace, "echo up; while [ ! -e go ]; do sleep 0.01; done; echo done");
  await running.until(() => running.text() === "up\n");
  const elsewhere = await mkdtemp(join(tmpdir(), "harness-socket-"));
  onTestFinished(() => rm(elsewhere, { recursive: true }));
  for (const other of SANDBOXES) {
    const second = await startDaemon({ HANDS_SANDBOX: other, HANDS_LISTEN: `unix:${join(elsewhere, "hands.sock")}` }, first.base);
    expect(await second.gone).toEqual({ code: 64, signal: null });
    expect(second.log()).toMatch(/HANDS_STATE can't be locked \(database is locked\): .*stop it or choose another one\n$/);
  }
  await workspace.write("go", new Uint8Array(), { changeId: "go" });
  expect((await running.handle.ended).exitCode).toBe(0);
  expect(running.text()).toBe("up\ndone\n");
});

test.each(SANDBOXES)("a daemon that was killed holds nothing, and neither does what it left running: sandbox %s", async (sandbox) => {
  const first = await startDaemon({ HANDS_SANDBOX: sandbox });
  const running = follow(await first.connect(), "echo up; (setsid sleep 67 &); sleep 67");
  await running.until(() => running.text() === "up\n");
  first.process.kill("SIGKILL");
  await first.gone;
  await (await startDaemon({ HANDS_SANDBOX: sandbox }, first.base)).connect();
});
