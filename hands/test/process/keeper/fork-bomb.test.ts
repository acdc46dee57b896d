import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { EndCause } from "@serverless-harness/proto/hands";
import { describe, expect, test } from "vitest";
import { startDaemon } from "../../fixtures/daemon.ts";
import { follow } from "../../fixtures/followed.ts";

const LIMIT = 150;
const BOMB = "echo up; f() { while :; do sleep 7205 & done; }; f 2>&- & f 2>&- & wait";

/** Processes of a bomb on this machine, zombies left out. */
function sparks(): number {
  return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && commandOf(pid) === "sleep\x007205\0").length;
}

function commandOf(pid: string): string {
  try {
    readlinkSync(`/proc/${pid}/exe`);
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

describe.each(["process", "bwrap"])("with HANDS_SANDBOX=%s", (sandbox) => {
  test("a fork bomb in one workspace leaves the daemon and other workspaces answering, and ends when it is cancelled", async () => {
    const daemon = await startDaemon({ HANDS_SANDBOX: sandbox, HANDS_PROCESSES: String(LIMIT) });
    const [victim, other] = [await daemon.connect("acme/one"), await daemon.connect("acme/two")];
    const bomb = follow(victim, BOMB);
    await bomb.until(() => bomb.text() === "up\n");
    // Without a limit it grows while it is looked at; with one it comes to it.
    while (sparks() < LIMIT - 20) await follow(other, "true").handle.ended;
    for (let i = 0; i < 10; i++) {
      expect(await follow(other, `echo ${i}; exit ${i}`).handle.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: i });
      await victim.write("file", Buffer.from("written"), { changeId: `write-${i}` });
      if (sandbox === "bwrap") expect(sparks()).toBeLessThanOrEqual(LIMIT);
    }
    await bomb.handle.cancel();
    expect(await bomb.handle.ended).toMatchObject({ cause: EndCause.CANCELLED });
    expect(await follow(victim, "exit 7").handle.ended).toMatchObject({ exitCode: 7 });
    while (sparks() > 0) await follow(victim, "true").handle.ended;
  });
});

test("a command that wants more processes than it may have is told by the kernel, and the workspace lives on", async () => {
  const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap", HANDS_PROCESSES: "20" });
  const workspace = await daemon.connect();
  // Not bash, which tries again for 15 seconds. What it started goes with it, without another fork.
  const greedy = `trap 'trap "" TERM; kill 0' EXIT; i=0; while [ $((i += 1)) -lt 30 ]; do sleep 7205 & done; echo all`;
  const followed = follow(workspace, `exec sh -c ${JSON.stringify(greedy).replaceAll("$", "\\$")} 2>&1`);
  expect(await followed.handle.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 2 });
  expect(followed.text()).toMatch(/fork/);
  expect(await follow(workspace, "exit 5").handle.ended).toMatchObject({ exitCode: 5 });
});
