import { childrenOf, commandLine } from "@serverless-harness/kit/proc";
import { EndCause } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";

/** The daemon itself, in its jail. */
function innermost(pid: number): number | undefined {
  const below = (at: number): number[] => [at, ...childrenOf(at).flatMap(below)];
  return below(pid).find((at) => commandLine(at)[0]?.endsWith("/node") && commandLine(at).some((arg) => arg.endsWith("hands/main.mjs")));
}

test("a daemon that died in its jail is started again by whoever started it, and what ran is lost and never run again", async () => {
  const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap" });
  const workspace = await daemon.connect();
  // It has to have worked for a while: one that dies as it starts is told at once.
  await follow(workspace, "sleep 4").handle.ended;
  const running = follow(workspace, "echo x >> ran; echo begun; sleep 300", { execId: "running" });
  await running.until(() => running.text() === "begun\n");
  process.kill(innermost(daemon.process.pid ?? 0) ?? 0, "SIGKILL");
  expect((await running.handle.ended).cause).toBe(EndCause.LOST);
  const next = follow(workspace, "cat ran");
  expect(await next.handle.ended).toMatchObject({ exitCode: 0 });
  expect(next.text()).toBe("x\n");
  expect(daemon.log()).toContain("the daemon died and is started again");
  daemon.process.kill("SIGTERM");
  expect(await daemon.gone).toEqual({ code: 0, signal: null });
});

test("a daemon that ends as it was asked to, or can't use its settings, is not started again", async () => {
  const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap" });
  await daemon.connect();
  daemon.process.kill("SIGTERM");
  expect(await daemon.gone).toEqual({ code: 0, signal: null });
  expect(daemon.log()).not.toContain("started again");
});
