import { EndCause } from "@serverless-harness/proto/hands";
import { describe, expect, test } from "vitest";
import { follow } from "../fixtures/followed.ts";
import { OWNERS, output, startJailedBy } from "./owners.ts";

const MIB = 1024 * 1024;

describe.each(OWNERS)("with hands run by %s", (owner) => {
  test("a command that fills its workspace's disk is ended by the name of the limit, and what makes room is not", async () => {
    const daemon = await startJailedBy(owner, [], { HANDS_DISK_BYTES: String(20 * MIB) });
    const workspace = await daemon.connect();
    const greedy = follow(workspace, "head -c 30M /dev/zero >~/large; sleep 7302");
    const ended = await greedy.handle.ended;
    expect(ended).toMatchObject({ cause: EndCause.LIMIT_REACHED });
    expect(ended?.message).toMatch(/has \d+ bytes on disk and may have 20971520 \(HANDS_DISK_BYTES\): remove what is not needed/);
    expect(await output(workspace, "rm ~/large && echo tidy")).toBe("tidy\n");
  });

  test("a command that takes more memory than its workspace may have is killed, and others live on", async () => {
    const daemon = await startJailedBy(owner, [], { HANDS_MEMORY_BYTES: String(100 * MIB) });
    const workspace = await daemon.connect();
    const modest = follow(workspace, "echo up; until test -e go; do sleep 0.05; done; echo went on");
    await modest.until(() => modest.text() === "up\n");
    const greedy = follow(workspace, `exec python3 -c 'import time; held = b"x" * ${160 * MIB}; time.sleep(7302)'`);
    const ended = await greedy.handle.ended;
    expect(ended).toMatchObject({ cause: EndCause.OUT_OF_MEMORY, signal: "SIGKILL" });
    expect(ended?.message).toContain("HANDS_MEMORY_BYTES");
    await output(workspace, "touch go");
    expect(await modest.handle.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 0 });
  });

  test("commands leave the daemon the first turn on the CPU, and are the first that the kernel kills for memory", async () => {
    const daemon = await startJailedBy(owner);
    expect(await output(await daemon.connect(), "nice; cat /proc/self/oom_score_adj")).toBe("5\n500\n");
  });
});
