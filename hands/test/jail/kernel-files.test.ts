import { describe, expect, test } from "vitest";
import { OWNERS, output, python, startJailedBy } from "./owners.ts";

/**
 * Asks of every file below these directories whether a command may write to it or read it, and touches none of them. Its own processes' files are its own;
 * the first process is the fork server. Of its files GUARDED have modes that allow all, and the kernel asks once more who writes.
 */
const WALK = `
import os
GUARDED = {"current", "exec", "fscreate", "keycreate", "sockcreate", "timerslack_ns"}
HARMLESS = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
def is_covered(path):
    info = os.stat(path)
    return info.st_dev != os.stat("/proc").st_dev and not os.path.isdir(path) and info.st_size == 0
def is_own(path):
    parts = path.split("/")
    return path.startswith("/dev/shm") or (path.startswith("/dev/") and parts[2] in HARMLESS) or path.startswith("/dev/pts")
for top in ["/proc", "/sys", "/dev"]:
    for directory, below, files in os.walk(top):
        if directory == "/proc": below[:] = [name for name in below if not name.isdigit() or name == "1"]
        for name in below + files:
            path = os.path.join(directory, name)
            if os.path.islink(path) or is_own(path) or (path.startswith("/proc/1/") and name in GUARDED): continue
            if os.access(path, os.W_OK): print("writable", path)
            if directory == "/proc" and not name.isdigit() and os.access(path, os.R_OK) and not is_covered(path) and (name in files or os.listdir(path)): print("readable", path)
print("walked")
`;

/** What programs need to know of the machine: counts, versions, names of file systems. */
const READABLE = [
  "cgroups cpuinfo devices diskstats filesystems loadavg meminfo partitions stat swaps uptime version vmstat",
  "pressure sys sysvipc",
].flatMap((names) => names.split(" ").map((name) => `readable /proc/${name}`));

describe.each(OWNERS)("with hands run by %s", (owner) => {
  test("a command may write to no file of the kernel, and read only what programs need of the machine", async () => {
    const daemon = await startJailedBy(owner);
    const workspace = await daemon.connect();
    const found = (await python(workspace, WALK)).trim().split("\n");
    expect(found.pop()).toBe("walked");
    expect(found.filter((line) => line.startsWith("writable"))).toEqual([]);
    expect(found.filter((line) => !READABLE.includes(line))).toEqual([]);
    expect(found).toContain("readable /proc/meminfo");
    expect(
      await output(workspace, "cat /proc/keys /proc/kallsyms /proc/cmdline 2>/dev/null; ls -A /proc/bus /proc/fs 2>/dev/null"),
    ).toMatch(/^(\/proc\/\w+:\s*)*$/);
  });

  test("a command keeps nothing in /dev but shared memory, to a bound", async () => {
    const daemon = await startJailedBy(owner);
    const workspace = await daemon.connect();
    expect(await output(workspace, "for f in /dev/x /dev/pts/x /dev/mqueue/x; do (: >$f) && echo $f; done 2>/dev/null; true")).toBe("");
    expect(await output(workspace, "df --output=size -B1 /dev/shm | tail -1 | tr -d ' '")).toBe(`${256 * 1024 * 1024}\n`);
    expect(await output(workspace, "echo mine >/dev/shm/mine && cat /dev/shm/mine")).toBe("mine\n");
  });
});
