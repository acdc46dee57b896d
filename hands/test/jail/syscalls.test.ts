import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { CALLS, OWNERS, output, python, startJailedBy } from "./owners.ts";

const PROFILE = fileURLToPath(new URL("../../jail/build/profile.json", import.meta.url));

/** Calls with arguments that no kernel could do anything with: a filter says no before it looks at them. */
const REFUSED = `${CALLS}
NEWUSER, NEWNS, AF_VSOCK, AF_ALG = 0x10000000, 0x20000, 40, 38
for name in ["bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "pidfd_getfd", "kcmp", "mount",
             "open_tree", "fsopen", "setns", "open_by_handle_at", "kexec_load", "finit_module", "syslog", "keyctl", "add_key", "request_key"]:
    print(name, call(name, -1, -1, -1, -1, -1))
print("clone3", call("clone3", 0, 0))
print("unshare", call("unshare", NEWUSER), call("unshare", NEWNS), call("unshare", 0))
print("socket", call("socket", AF_VSOCK, 1, 0), call("socket", AF_ALG, 5, 0), call("socket", 1, 1, 0))
`;

/** What is common to programs of all kinds. */
const WORK = `
set -e
node -e 'const { Worker } = require("node:worker_threads"); new Worker("1", { eval: true }).once("exit", (code) => console.log("thread", code))'
node -e 'require("node:child_process").exec("echo child", (error, text) => process.stdout.write(text))'
python3 -c 'import multiprocessing as m; print("pool", m.Pool(2).map(abs, [-1, -2]))'
python3 -c 'import socket, threading; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print("socket", s.getsockname()[0])'
printf 'int main(void) { return 7; }' >a.c && cc a.c && { ./a.out || echo compiled $?; }
mkfifo pipe && (echo through >pipe & cat pipe) && rm pipe
git init -q repository && cd repository && echo x >x && git add x && git -c user.name=a -c user.email=a@b commit -qm x && git log --format=%s
timeout 5 flock lock echo locked; nice -n 3 echo nice; taskset 1 echo pinned; setsid -w echo session; setarch -R echo unrandomised
`;

describe.each(OWNERS)("with hands run by %s", (owner) => {
  test("what no tool needs of the kernel is refused, and new namespaces look as if there were none", async () => {
    const daemon = await startJailedBy(owner);
    const lines = (await python(await daemon.connect(), REFUSED)).trim().split("\n");
    expect(lines.slice(0, -3).filter((line) => !line.endsWith(" EPERM"))).toEqual([]);
    expect(lines.slice(-3)).toEqual(["clone3 ENOSYS", "unshare ENOSYS ENOSYS ok", "socket ENOSYS ENOSYS ok"]);
  });

  test("programs of all kinds run", async () => {
    const daemon = await startJailedBy(owner);
    expect((await output(await daemon.connect(), `(${WORK}) 2>&1`)).split("\n")).toEqual([
      ...["thread 0", "child", "pool [1, 2]", "socket 127.0.0.1", "compiled 7", "through", "x"],
      ...["locked", "nice", "pinned", "session", "unrandomised", ""],
    ]);
  });

  test("a key that one workspace adds is found by no other", async () => {
    const daemon = await startJailedBy(owner);
    const [one, other] = [await daemon.connect(), await daemon.connect("acme/other")];
    const USER_SESSION = -5;
    const add = `${CALLS}\nprint(call("add_key", b"user", b"harness-test-key", b"mine", 4, ${USER_SESSION}))`;
    const find = `${CALLS}\nprint(call("keyctl", 10, ${USER_SESSION}, b"user", b"harness-test-key", 0))`;
    expect(await python(one, add)).toBe("EPERM\n");
    expect(await python(other, find)).toBe("EPERM\n");
  });
});

test("the same list is a profile for container runtimes", async () => {
  const profile = JSON.parse(await readFile(PROFILE, "utf8")) as {
    defaultAction: string;
    syscalls: ReadonlyArray<{ names: string[]; action: string; errnoRet?: number; args?: unknown }>;
  };
  expect(profile.defaultAction).toBe("SCMP_ACT_ERRNO");
  const verdicts = new Map<string, Set<string>>();
  for (const { names, action } of profile.syscalls)
    for (const name of names) verdicts.set(name, (verdicts.get(name) ?? new Set()).add(action));
  expect([...verdicts].filter(([, actions]) => actions.size > 1)).toEqual([]);
  expect([...(verdicts.get("keyctl") ?? [])]).toEqual(["SCMP_ACT_ERRNO"]);
  expect([...(verdicts.get("read") ?? [])]).toEqual(["SCMP_ACT_ALLOW"]);
  const clone = { index: 0, value: 0x7e02_0000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" };
  expect(profile.syscalls.filter(({ names }) => names.includes("clone"))).toEqual([
    { names: ["clone"], action: "SCMP_ACT_ALLOW", args: [clone] },
  ]);
});
