import { join } from "node:path";
import { pidNamespace } from "@serverless-harness/kit/proc";
import { EndCause } from "@serverless-harness/proto/hands";
import { describe, expect, test } from "vitest";
import { newBase } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { CALLS, OWNERS, output, python, startJailedBy } from "./owners.ts";

/** Tries to look into every process that it did not start itself, by all ways that need the rights of a debugger. */
const LOOK = `${CALLS}
import os
parents, at = set(), os.getpid()
while at > 1:
    parents.add(at)
    at = int(open(f"/proc/{at}/stat").read().rsplit(")", 1)[1].split()[1])
    if at not in parents and b"python3 script" not in open(f"/proc/{at}/cmdline", "rb").read(): break
others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in parents]
for pid in others:
    for name, look in {
        "fd": lambda: os.listdir(f"/proc/{pid}/fd"), "root": lambda: os.readlink(f"/proc/{pid}/root"), "exe": lambda: os.readlink(f"/proc/{pid}/exe"),
        "environ": lambda: open(f"/proc/{pid}/environ", "rb").read(1), "mem": lambda: open(f"/proc/{pid}/mem", "rb"),
    }.items():
        try: look()
        except OSError: continue
        print("saw", name, "of", pid)
    handle = raw("pidfd_open", pid, 0)
    for descriptor in range(3):
        if call("pidfd_getfd", handle, descriptor, 0) == "ok": print("took a descriptor of", pid)
    if call("ptrace", 0x4206, pid, 0, 0) == "ok": print("traced", pid)
print("tried", 1 in others)
`;

describe.each(OWNERS)("with hands run by %s", (owner) => {
  test("a command looks into no process that it did not start, the fork server above all", async () => {
    const daemon = await startJailedBy(owner);
    expect(await python(await daemon.connect(), LOOK)).toBe("tried True\n");
  });

  test("the fork server outlives whatever signal a command sends it, and so do other commands", async () => {
    const daemon = await startJailedBy(owner);
    const workspace = await daemon.connect();
    // Only where the first process is the jail's own.
    expect(await output(workspace, "readlink /proc/self/ns/pid")).not.toBe(`${pidNamespace()}\n`);
    const other = follow(workspace, "echo up; until test -e go; do sleep 0.02; done; echo went on");
    await other.until(() => other.text() === "up\n");
    await output(workspace, "for signal in KILL STOP TERM INT HUP SEGV PIPE USR1; do kill -$signal 1; done 2>/dev/null; true");
    expect(await output(workspace, "cat /proc/1/comm")).toBe("keeper\n");
    await output(workspace, "touch go");
    expect(await other.handle.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 0 });
    expect(other.text()).toBe("up\nwent on\n");
  });

  test("no file of the host is open in a jail, even if hands logs into one", async () => {
    const base = await newBase();
    const daemon = await startJailedBy(owner, ["sh", "-c", 'exec "$@" 2>>"$0"', join(base, "hands.log")]);
    const workspace = await daemon.connect();
    const links = "for fd in /proc/[0-9]*/fd/*; do readlink $fd; stat -L -c '%F' $fd; done 2>/dev/null";
    const found = new Set((await output(workspace, `${links}; true`)).trim().split("\n"));
    const own = /^(pipe:|socket:|anon_inode:|\/dev\/null$|\/proc\/|fifo$|socket$|character special file$|directory$|$)/;
    expect([...found].filter((line) => !own.test(line))).toEqual([]);
    expect(await output(workspace, "ls -l /proc/1/fd/ /proc/2/fd/ 2>/dev/null | grep -c hands.log; true")).toBe("0\n");
  });

  test("what a fork server, or what starts it, says of its problems is in the daemon's log, with its source", async () => {
    // More processes than hands itself may have: the shell that sets the limit says that it can't.
    const daemon = await startJailedBy(owner, ["prlimit", "--nproc=50000:50000"], { HANDS_PROCESSES: "60000" });
    const workspace = await daemon.connect();
    const problems = () =>
      daemon
        .log()
        .split("\n")
        .filter((line) => line.includes('"source":"fork server"'));
    while (problems().length === 0) await output(workspace, "true");
    expect(problems()[0]).toMatch(/"workspace":"acme\/one".*"line":".*ulimit: .*cannot modify limit/);
  });
});
