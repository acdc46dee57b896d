import { childrenOf } from "@serverless-harness/kit/proc";
import { expect, test } from "vitest";
import { jailsFor } from "../../config.ts";
import { type Daemon, startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { innermost } from "../fixtures/innermost.ts";

/** The jails of workspaces that live: what the daemon itself has started if it makes no networks for them. */
function jails(daemon: Daemon): number[] {
  const node = innermost(daemon.process);
  return node === undefined ? [] : childrenOf(node);
}

async function untilJails(daemon: Daemon, count: number): Promise<void> {
  while (jails(daemon).length !== count) await new Promise((resolve) => setTimeout(resolve, 10));
}

test("a jail in which nothing lives is ended after a while, one with a background process is not, and the next command makes another", async () => {
  const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap", HANDS_NETWORK: "none", HANDS_JAIL_IDLE_MS: "300" });
  const [idle, busy] = [await daemon.connect("acme/idle"), await daemon.connect("acme/busy")];
  await follow(busy, "sleep 300 >/dev/null 2>&1 & echo $! > background").handle.ended;
  await follow(idle, "echo kept > /tmp/file").handle.ended;
  await untilJails(daemon, 1);
  const background = follow(busy, "kill -0 $(cat background) && echo lives");
  await background.handle.ended;
  expect(background.text()).toBe("lives\n");
  const again = follow(idle, "cat /tmp/file");
  expect((await again.handle.ended).exitCode).toBe(0);
  expect(again.text()).toBe("kept\n");
  await follow(busy, "kill $(cat background)").handle.ended;
  await untilJails(daemon, 0);
});

test("beyond the number of jails the one in which nothing lives goes first, then the one that was used longest ago", async () => {
  const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap", HANDS_NETWORK: "none", HANDS_JAILS: "2", HANDS_JAIL_IDLE_MS: "0" });
  const [first, second, third] = [await daemon.connect("acme/1"), await daemon.connect("acme/2"), await daemon.connect("acme/3")];
  const lives = async (workspace: typeof first): Promise<string> => {
    const asked = follow(workspace, "kill -0 $(cat background) 2>/dev/null && echo yes || echo no");
    await asked.handle.ended;
    return asked.text();
  };
  await follow(first, "sleep 300 >/dev/null 2>&1 & echo $! > background").handle.ended;
  await follow(second, "true").handle.ended;
  await follow(third, "true").handle.ended;
  await untilJails(daemon, 2);
  expect(await lives(first)).toBe("yes\n");
});

test("how many jails may live follows from the memory", () => {
  const GIB = 1024 ** 3;
  expect([GIB / 8, GIB, 4 * GIB, 64 * GIB].map(jailsFor)).toEqual([4, 12, 51, 100]);
});
