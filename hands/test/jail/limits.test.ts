import { EndCause } from "@serverless-harness/proto/hands";
import { describe, expect, test } from "vitest";
import { follow } from "../fixtures/followed.ts";
import { OWNERS, output, startJailedBy } from "./owners.ts";

const MIB = 1024 * 1024;

describe.each(OWNERS)("with hands run by %s", (owner) => {
  test("a command that fills its workspace's disk is ended by the name of the limit, and what makes room is not", async () => {
    const daemon = await startJailedBy(owner, [], { HANDS_DISK_BYTES: String(20 * MIB) });
    const workspace = await daemon.connect();
    const greedy = follow(workspace, "for name in one two; do head -c 15M /dev/zero >~/$name; done; sleep 7302");
    const ended = await greedy.handle.ended;
    expect(ended).toMatchObject({ cause: EndCause.LIMIT_REACHED });
    expect(ended?.message).toMatch(/has \d+ bytes on disk and may have 20971520 \(HANDS_DISK_BYTES\): remove what is not needed/);
    expect(await output(workspace, "rm ~/one && echo tidy")).toBe("tidy\n");
  });

  test("a file of more than a workspace may have on disk is not written, and the command ends by the name of the limit", async () => {
    const daemon = await startJailedBy(owner, [], { HANDS_DISK_BYTES: String(20 * MIB) });
    const workspace = await daemon.connect();
    const greedy = await follow(workspace, "exec head -c 30M /dev/zero >~/large").handle.ended;
    expect(greedy).toMatchObject({ cause: EndCause.LIMIT_REACHED, signal: "SIGXFSZ" });
    expect(greedy?.message).toBe("a file of it would have more than the 20971520 bytes of its workspace (HANDS_DISK_BYTES)");
    expect(await output(workspace, "stat -c %s ~/large")).toBe(`${20 * MIB}\n`);
    expect((await follow(workspace, "ulimit -f unlimited").handle.ended)?.exitCode).toBe(1);
  });

  test("a command that fails while its workspace has as many processes as it may have reads which limit that is", async () => {
    const daemon = await startJailedBy(owner, [], { HANDS_PROCESSES: "40" });
    const workspace = await daemon.connect();
    // Not bash, which tries again for 15 seconds, and needs no process to wait for the test.
    const greedy = `import os, time
while True:
    try:
        if os.fork() == 0: time.sleep(7302)
    except BlockingIOError: break
print("full", flush=True)
while not os.path.exists("go"): time.sleep(0.05)
os._exit(3)`;
    await workspace.write("greedy.py", Buffer.from(greedy), { changeId: "greedy" });
    const followed = follow(workspace, "exec python3 greedy.py", { timeoutMs: 60_000 });
    await followed.until(() => followed.text() === "full\n");
    while (!daemon.log().includes("as many processes as it may have")) await new Promise((resolve) => setTimeout(resolve, 20));
    await workspace.write("go", Buffer.from(""), { changeId: "go" });
    const ended = await followed.handle.ended;
    expect(ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 3 });
    expect(ended?.message).toBe("while it ran its workspace had as many processes and threads as it may have, 40 (HANDS_PROCESSES)");
  });

  test("every file system in memory that a command can write to is bounded", async () => {
    const daemon = await startJailedBy(owner);
    const mounts = await output(
      await daemon.connect(),
      'while read -r _ place kind options _; do [ "$kind" = tmpfs ] && test -w "$place" && echo "$place $options"; done </proc/mounts; true',
    );
    // More than once, as the daemon's jail has one as well.
    for (const mount of mounts.trim().split("\n")) expect(mount).toMatch(/^\/dev\/shm .*\bsize=262144k\b/);
  });

  test("a command that takes more memory than its workspace may have is killed, and others live on", async () => {
    const daemon = await startJailedBy(owner, [], { HANDS_MEMORY_BYTES: String(100 * MIB) });
    const workspace = await daemon.connect();
    const modest = follow(workspace, "echo up; until test -e go; do sleep 0.05; done; echo went on");
    await modest.until(() => modest.text() === "up\n");
    const greedy = follow(workspace, `exec python3 -c 'import time; held = b"x" * ${160 * MIB}; time.sleep(7302)'`);
    const ended = await greedy.handle.ended;
    expect(ended).toMatchObject({ cause: EndCause.OUT_OF_MEMORY, signal: "SIGKILL" });
    expect(ended?.message).toContain(`HANDS_MEMORY_BYTES: ${100 * MIB} bytes`);
    await output(workspace, "touch go");
    expect(await modest.handle.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 0 });
  });

  test("commands leave the daemon the first turn on the CPU, and are the first that the kernel kills for memory", async () => {
    const daemon = await startJailedBy(owner);
    expect(await output(await daemon.connect(), "nice; cat /proc/self/oom_score_adj")).toBe("5\n500\n");
  });
});
