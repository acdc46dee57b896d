import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Daemon, startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { WORKSPACE } from "../fixtures/sandbox.ts";
import { run } from "./support.ts";

/**
 * What a command can try with nothing but Python: read the memory and the environment of every process that it sees, look
 * through its root and its descriptors, and connect to every socket that the kernel lists. It prints what it got hold of. `pids`: a Python
 * expression.
 */
const intruder = (pids: string): string => `
import glob, os, socket
secrets = [b"HANDS_" + b"STATE", b"HANDS_" + b"PUBLIC_KEY_FILE", b"execs" + b".jsonl", b"BEGIN PUBLIC" + b" KEY"]
own = {os.getpid(), os.getppid()}
pids = ${pids}
for pid in pids:
    for name in ["environ", "cmdline", "maps"]:
        try: data = open(f"/proc/{pid}/{name}", "rb").read()
        except OSError: continue
        for secret in secrets:
            if secret in data and pid not in own: print("found", name, secret)
    if pid not in own:
        try:
            ranges = [r.split()[0].split("-") for r in open(f"/proc/{pid}/maps") if " rw" in r]
            with open(f"/proc/{pid}/mem", "rb") as memory:
                for low, high in ranges:
                    try:
                        memory.seek(int(low, 16)); data = memory.read(int(high, 16) - int(low, 16))
                    except (OSError, ValueError, OverflowError): continue
                    for secret in secrets:
                        if secret in data: print("found memory", secret)
        except OSError: pass
    for link in glob.glob(f"/proc/{pid}/fd/*") + [f"/proc/{pid}/root", f"/proc/{pid}/cwd"]:
        try: target = os.readlink(link)
        except OSError: continue
        if "hands" in target or "journal" in target: print("found", link, target)
    for path in ["run/hands", "run/hands/state", "run/hands/socket", "run/hands/program"]:
        if os.path.lexists(f"/proc/{pid}/root/{path}"): print("found root", pid, path)
reached = 0
for line in open("/proc/net/unix").read().splitlines()[1:]:
    fields = line.split()
    if len(fields) < 8: continue
    path = fields[7]
    if not (path.startswith("@") or "hands" in path): continue
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(0.2)
        try:
            s.connect("\\0" + path[1:] if path.startswith("@") else path)
            s.sendall(b"GET /healthz HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n")
            if b"HTTP/1.1 200" in s.recv(100): print("found socket", path)
        except OSError: pass
for pid in (1, os.getppid()):
    for path in ("/workspaces/acme/other/private", f"/proc/{pid}/root/workspaces/acme/other/private", "../other/private"):
        try: print("found", open(path).read())
        except OSError: pass
print("processes", len(pids), "searched")
`;

async function search(daemon: Daemon, script: string): Promise<string> {
  expect((await run("python3", "install it (Debian: apt-get install python3)", ["--version"])).code).toBe(0);
  const workspace = await daemon.connect();
  const other = await daemon.connect("acme/other");
  await follow(
    other,
    "echo a secret of the neighbour | tee private ~/private /tmp/private >/dev/null; (sleep 68 </dev/null >/dev/null 2>&1 &)",
  ).handle.ended;
  await workspace.write("intruder.py", Buffer.from(script), { changeId: "intruder" });
  const searched = follow(workspace, "python3 intruder.py 2>&1");
  await searched.handle.ended;
  return searched.text();
}

test("a command that goes through all it sees gets hold of nothing of the daemon's or its neighbours'", async () => {
  const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap" });
  expect(await search(daemon, intruder('sorted(int(p) for p in os.listdir("/proc") if p.isdigit())'))).toMatch(
    /^processes \d+ searched\n$/,
  );
  // What it looked for was there to be found.
  expect(await readdir(join(daemon.base, "state", "workspaces", WORKSPACE, "execs"))).toContain("execs.jsonl");
});

test("the same search finds the daemon where there is no jail, so it is one that finds", async () => {
  const daemon = await startDaemon({ HANDS_SANDBOX: "process" });
  const text = await search(daemon, intruder(`[${daemon.process.pid}]`));
  expect(text).toContain("found environ b'HANDS_STATE'");
  expect(text).toContain("found socket");
});
