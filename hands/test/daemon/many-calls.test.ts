import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { residentBytes } from "@serverless-harness/kit/proc";
import { createTransport } from "@serverless-harness/kit/transport";
import { FileService } from "@serverless-harness/proto/hands";
import { expect, onTestFinished, test } from "vitest";
import { startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { innermost } from "../fixtures/innermost.ts";
import { WORKSPACE } from "../fixtures/sandbox.ts";

const CALLS = 10_000;
const FILES = 100;
/** What a daemon may need that does nothing, in bytes. */
const MOST_AT_REST = 100e6;
/** What it may keep of many calls once they are answered: without its being asked to, V8 would keep half as much again. */
const MOST_AFTER_CALLS = 120e6;

test("ten thousand calls at once on one connection to a jailed daemon are all answered, each with what it asked for", async () => {
  const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap" });
  const workspace = await daemon.connect();
  await follow(workspace, `for i in $(seq ${FILES}); do head -c $i /dev/zero >$i; done`).handle.ended;
  const transport = createTransport({
    address: { kind: "unix", path: join(daemon.base, "socket", "hands.sock") },
    token: await daemon.token(),
  });
  onTestFinished(() => transport.close());
  const files = createClient(FileService, transport);
  const sizes = await Promise.all(
    Array.from({ length: CALLS }, async (_, index) => {
      const { file } = await files.stat({ workspace: WORKSPACE, path: String((index % FILES) + 1) });
      return Number(file?.size);
    }),
  );
  expect(sizes).toEqual(Array.from({ length: CALLS }, (_, index) => (index % FILES) + 1));
  // It is as good as before to whoever comes next.
  expect((await follow(workspace, "exit 3").handle.ended).exitCode).toBe(3);
  const pid = innermost(daemon.process) ?? 0;
  expect(residentBytes(pid)).toBeGreaterThan(0);
  while (residentBytes(pid) > MOST_AFTER_CALLS) await new Promise((resolve) => setTimeout(resolve, 100));
}, 600_000);

test("a jailed daemon that has run some commands is small", async () => {
  const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap" });
  const workspace = await daemon.connect();
  for (let i = 0; i < 50; i++) await follow(workspace, "true").handle.ended;
  expect(residentBytes(innermost(daemon.process) ?? 0)).toBeGreaterThan(0);
  expect(residentBytes(innermost(daemon.process) ?? 0)).toBeLessThan(MOST_AT_REST);
});
