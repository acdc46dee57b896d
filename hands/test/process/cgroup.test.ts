import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { EndCause } from "@serverless-harness/proto/hands";
import { describe, expect, onTestFinished, test } from "vitest";
import type { WorkspaceClient } from "../../client/index.ts";
import { startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";

const GO = "while [ ! -e go ]; do sleep 0.01; done";

/** A directory with the files of a cgroup v2, in which the test plays the kernel. */
async function cgroupFiles(files: Record<string, string>): Promise<string> {
  const directory = await temporaryDirectory();
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
}

const eventsWith = (kills: number): string => `low 0\nhigh 0\nmax 12\noom ${kills}\noom_kill ${kills}\noom_group_kill 0\n`;

/** Run a command up to `up`, change what the kernel counts, and let it go on to its end. */
async function endAfter(workspace: WorkspaceClient, command: string, change: () => void) {
  await follow(workspace, "rm -f go").handle.ended;
  const followed = follow(workspace, `echo up; ${GO}; ${command}`);
  await followed.until(() => followed.text() === "up\n");
  change();
  await follow(workspace, "touch go").handle.ended;
  return followed.handle.ended;
}

describe.each(["process", "bwrap"])("with HANDS_SANDBOX=%s", (sandbox) => {
  test("who is killed while the kernel counts a kill for memory ends as out of memory, and nobody else", async () => {
    const cgroup = await cgroupFiles({ "memory.events": eventsWith(4) });
    const events = join(cgroup, "memory.events");
    const daemon = await startDaemon({ HANDS_SANDBOX: sandbox, HANDS_CGROUP: cgroup });
    const workspace = await daemon.connect();
    const untouched = await endAfter(workspace, "kill -9 $$", () => undefined);
    expect(untouched).toMatchObject({ cause: EndCause.EXITED, exitCode: 137, signal: "SIGKILL" });
    const killed = await endAfter(workspace, "kill -9 $$", () => writeFileSync(events, eventsWith(5)));
    expect(killed).toMatchObject({ cause: EndCause.OUT_OF_MEMORY, exitCode: 137, signal: "SIGKILL" });
    const relayed = await endAfter(workspace, "bash -c 'kill -9 $$'; exit $?", () => writeFileSync(events, eventsWith(6)));
    expect(relayed).toMatchObject({ cause: EndCause.OUT_OF_MEMORY, exitCode: 137, signal: "" });
    const survivor = await endAfter(workspace, "bash -c 'kill -9 $$'; exit 0", () => writeFileSync(events, eventsWith(7)));
    expect(survivor).toMatchObject({ cause: EndCause.EXITED, exitCode: 0 });
    const later = await endAfter(workspace, "kill -9 $$", () => undefined);
    expect(later).toMatchObject({ cause: EndCause.EXITED, signal: "SIGKILL" });
    expect(daemon.log()).toContain("HANDS_CGROUP can't be divided");
  });
});

test("a kill that a caller asked for, or hands itself, is theirs whatever the kernel counts, and one kill explains one end", async () => {
  const cgroup = await cgroupFiles({ "memory.events": eventsWith(0) });
  const daemon = await startDaemon({ HANDS_CGROUP: cgroup });
  const workspace = await daemon.connect();
  const asked = follow(workspace, "echo up; sleep 60");
  const late = follow(workspace, "echo up; trap '' TERM; while :; do sleep 60; done", { timeoutMs: 300, killGraceMs: 1 });
  const [first, second] = [1, 2].map(() => follow(workspace, `echo up; ${GO}; kill -9 $$`));
  for (const one of [asked, late, first, second]) await one?.until(() => one.text() === "up\n");
  writeFileSync(join(cgroup, "memory.events"), eventsWith(1));
  await asked.handle.signal("SIGKILL");
  expect(await asked.handle.ended).toMatchObject({ cause: EndCause.SIGNALED, signal: "SIGKILL" });
  expect(await late.handle.ended).toMatchObject({ cause: EndCause.TIMEOUT, signal: "SIGKILL" });
  await follow(workspace, "touch go").handle.ended;
  const causes = await Promise.all([first, second].map(async (one) => (await one?.handle.ended)?.cause));
  expect(causes.sort()).toEqual([EndCause.EXITED, EndCause.OUT_OF_MEMORY]);
});

test("who fails while the kernel counts a refused process reads which limit that was, and who does not fail reads nothing", async () => {
  const cgroup = await cgroupFiles({ "cgroup.controllers": "pids\n", "cgroup.subtree_control": "" });
  const events = join(cgroup, "acme%2Fone", "pids.events");
  mkdirSync(join(cgroup, "acme%2Fone"));
  writeFileSync(events, "max 3\n");
  const daemon = await startDaemon({ HANDS_CGROUP: cgroup, HANDS_PROCESSES: "77" });
  const workspace = await daemon.connect("acme/one");
  const refused = await endAfter(workspace, "exit 4", () => writeFileSync(events, "max 4\n"));
  const message = "while it ran its workspace had as many processes and threads as it may have, 77 (HANDS_PROCESSES)";
  expect(refused).toMatchObject({ cause: EndCause.EXITED, exitCode: 4, message });
  expect(await endAfter(workspace, "exit 0", () => writeFileSync(events, "max 5\n"))).toMatchObject({ exitCode: 0, message: "" });
  expect(await endAfter(workspace, "exit 4", () => undefined)).toMatchObject({ exitCode: 4, message: "" });
  expect(daemon.log()).toContain("no controller cpu: workspaces share the CPU by their sessions, not evenly");
});

test("limits are written down for each workspace, and controllers that are missing are said once", async () => {
  const all = await cgroupFiles({ "cgroup.controllers": "cpuset cpu memory pids\n", "cgroup.subtree_control": "" });
  const limits = { HANDS_MEMORY_BYTES: "123456789", HANDS_PROCESSES: "77" };
  const daemon = await startDaemon({ HANDS_CGROUP: all, ...limits });
  await follow(await daemon.connect(), "true").handle.ended;
  expect(readFileSync(join(all, "cgroup.subtree_control"), "utf8")).toBe("+memory +pids +cpu");
  expect(readFileSync(join(all, "acme%2Fone", "memory.max"), "utf8")).toBe("123456789");
  expect(readFileSync(join(all, "acme%2Fone", "pids.max"), "utf8")).toBe("77");
  expect(readFileSync(join(all, "acme%2Fone", "cpu.weight"), "utf8")).toBe("33");
  const none = await startDaemon(limits);
  await follow(await none.connect(), "true").handle.ended;
  expect(none.log().match(/HANDS_MEMORY_BYTES has no effect/g)).toHaveLength(1);
});

/** A cgroup v2 of this test's own. Fails with what is needed where the machine has none to write to. */
function realCgroup(): string {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" "));
  const place = mounts.find((fields) => fields[fields.indexOf("-") + 1] === "cgroup2")?.[4];
  if (place === undefined) throw new Error("this test needs a cgroup v2 mount, as at /sys/fs/cgroup: the machine has none");
  const directory = join(place, `hands-test-${process.pid}-${Date.now()}`);
  try {
    mkdirSync(directory);
  } catch (error) {
    throw new Error(`this test needs to make a cgroup in ${place}: run it as root, or where a cgroup v2 is delegated`, { cause: error });
  }
  onTestFinished(() => rmdirSync(directory));
  return directory;
}

const processesOf = (cgroup: string): string[] => readFileSync(join(cgroup, "cgroup.procs"), "utf8").split("\n").filter(Boolean);

describe.each(["process", "bwrap"])("with HANDS_SANDBOX=%s and a cgroup v2 of the kernel's", (sandbox) => {
  test("each workspace has a group, which everything in it is in, and which is killed and removed with it", async () => {
    const cgroup = realCgroup();
    const daemon = await startDaemon({ HANDS_SANDBOX: sandbox, HANDS_CGROUP: cgroup });
    const [one, two] = [await daemon.connect("acme/one"), await daemon.connect("acme/two")];
    const [first, second] = [join(cgroup, "acme%2Fone"), join(cgroup, "acme%2Ftwo")];
    // Sheds whatever else would tell that it belongs to the exec.
    const escaping = "(ulimit -q 1; env -i /usr/bin/setsid -f /bin/sleep 1000); echo up";
    for (const workspace of [one, two]) expect(await follow(workspace, escaping).handle.ended).toMatchObject({ cause: EndCause.EXITED });
    for (const group of [first, second]) {
      const names = processesOf(group).map((pid) => readFileSync(`/proc/${pid}/comm`, "utf8").trim());
      expect(names).toEqual(expect.arrayContaining(["keeper", "sleep"]));
    }
    expect(await follow(one, "cat /proc/self/cgroup | grep ^0").handle.ended).toMatchObject({ exitCode: 0 });
    await one.delete();
    expect(existsSync(first)).toBe(false);
    expect(processesOf(second).length).toBeGreaterThan(0);
    expect(await follow(two, "exit 3").handle.ended).toMatchObject({ exitCode: 3 });
    daemon.process.kill("SIGTERM");
    expect(await daemon.gone).toEqual({ code: 0, signal: null });
    expect(existsSync(second)).toBe(false);
  });
});
