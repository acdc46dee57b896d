import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { childrenOf, commandLine } from "@serverless-harness/kit/proc";
import { describe, expect, test } from "vitest";
import { availableUsers, WorkspaceUsers } from "../../jail/users.ts";
import type { Daemon } from "../fixtures/daemon.ts";
import { WORKSPACE } from "../fixtures/sandbox.ts";
import { OWNERS, output, startJailedBy } from "./owners.ts";

/** The users of the machine that this program runs as, below the daemon. */
function usersOf(daemon: Daemon, program: string): number[] {
  const tree = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(tree)];
  const found = tree(daemon.process.pid ?? 0).filter((pid) => commandLine(pid).join(" ") === program);
  return found.map((pid) => Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]));
}

describe.each(OWNERS)("with hands run by %s", (owner) => {
  test("commands are the user `agent` without any power, and what they make is the daemon's on the disk", async () => {
    const daemon = await startJailedBy(owner);
    const workspace = await daemon.connect();
    expect(await output(workspace, "id -un; id -u; echo $USER; echo ~; grep -c '^agent:' /etc/passwd")).toBe(
      "agent\n1000\nagent\n/home/agent\n1\n",
    );
    expect(await output(workspace, "grep -E '^Cap(Prm|Eff|Amb)|^NoNewPrivs' /proc/self/status | cut -f2 | sort -u")).toBe(
      "0000000000000000\n1\n",
    );
    await output(workspace, "echo made >made; mkdir -m 700 directory; echo below >directory/below");
    const own = (await stat(daemon.base)).uid;
    for (const name of ["made", "directory", "directory/below"])
      expect((await stat(join(daemon.base, "workspaces", WORKSPACE, name))).uid).toBe(own);
    await workspace.write("written", Buffer.from("by the daemon"), { changeId: "written" });
    expect(await output(workspace, "stat -c %U written; echo more >>written; cat written; rm written")).toBe("agent\nby the daemonmore\n");
  });

  test("what only the machine's people have in its list of users is not to be seen", async () => {
    const daemon = await startJailedBy(owner);
    expect(await output(await daemon.connect(), "cut -d: -f1 /etc/passwd | sort | tr '\\n' ' '")).toBe("agent bin daemon nobody root ");
  });
});

test.runIf(process.getuid?.() === 0)(
  "run by root, each workspace's commands are another user of the machine, and none is the daemon's",
  async () => {
    const daemon = await startJailedBy("root");
    for (const name of [WORKSPACE, "acme/other"])
      await output(await daemon.connect(name), "sleep 7301 </dev/null >/dev/null 2>&1 & sleep 0");
    const users = usersOf(daemon, "sleep 7301");
    expect(users.length).toBe(2);
    expect(new Set(users).size).toBe(2);
    expect(users.filter((user) => user < 0x7000_0000)).toEqual([]);
  },
);

test.runIf(process.getuid?.() === 0)(
  "in a container that has no other users, commands have none of the daemon's powers, and the log says so",
  async () => {
    const daemon = await startJailedBy("root", ["unshare", "--user", "--map-root-user"]);
    const workspace = await daemon.connect();
    expect(await output(workspace, "id -un; grep CapEff /proc/self/status; test -w /proc/sys/kernel/hostname || echo refused")).toBe(
      "agent\nCapEff:\t0000000000000000\nrefused\n",
    );
    expect(daemon.log()).toContain("commands run as the daemon's own user");
  },
);

test("users are taken from those that nobody hands out, or else from the end of what a container has", () => {
  const whole = "         0          0 4294967295\n";
  expect(availableUsers(whole, 0)).toEqual({ first: 0x7000_0000, count: 0x1_0000 });
  expect(availableUsers(whole, 0.999_999_9)).toEqual({ first: 0x7fff_0000, count: 0x1_0000 });
  expect(availableUsers("0 1000 1\n1 100000 65536\n")).toEqual({ first: 32_769, count: 32_768 });
  expect(availableUsers("0 1000 1\n")).toBeUndefined();
});

test("a workspace keeps its users until it goes, and no two have the same", () => {
  const users = new WorkspaceUsers({ first: 100, count: 5 });
  expect([users.of("a"), users.of("b"), users.of("a")]).toEqual([100, 102, 100]);
  expect(() => users.of("c")).toThrow("no users left for workspace c");
  users.release("a");
  expect(users.of("c")).toBe(100);
});
