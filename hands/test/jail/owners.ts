import { chownSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { EndCause } from "@serverless-harness/proto/hands";
import { expect } from "vitest";
import type { WorkspaceClient } from "../../client/index.ts";
import { type Daemon, newBase, startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";

/** Who runs hands: a jail has to hold for both. */
export type Owner = "root" | "an ordinary user";

const isRoot = process.getuid?.() === 0;
/** Nobody in particular, with nothing but what everybody has. */
const ORDINARY = 65_534;

/** Those who can run hands in these tests; only root can be both. */
export const OWNERS: readonly Owner[] = isRoot ? ["root", "an ordinary user"] : ["an ordinary user"];

/** Start a jailed daemon as this user. `around`: a program to run it in, and its arguments. */
export async function startJailedBy(owner: Owner, around: readonly string[] = [], variables: Record<string, string> = {}): Promise<Daemon> {
  const base = await newBase();
  const jailed = { HANDS_SANDBOX: "bwrap", HANDS_NETWORK: "none", ...variables };
  if (owner === "root" || !isRoot) return startDaemon(jailed, base, around);
  for (const name of ["", "socket", "keys"]) chownSync(join(base, name), ORDINARY, ORDINARY);
  for (const name of readdirSync(join(base, "keys"))) chownSync(join(base, "keys", name), ORDINARY, ORDINARY);
  const become = ["setpriv", "--reuid", String(ORDINARY), "--regid", String(ORDINARY), "--clear-groups"];
  return startDaemon(jailed, base, [...around, ...become]);
}

/** What a command prints. */
export async function output(workspace: WorkspaceClient, command: string): Promise<string> {
  const followed = follow(workspace, command);
  expect(await followed.handle.ended).toMatchObject({ cause: EndCause.EXITED });
  return followed.text();
}

let scripts = 0;

/** What a Python script prints, run in the workspace. */
export async function python(workspace: WorkspaceClient, script: string): Promise<string> {
  const name = `script-${++scripts}.py`;
  await workspace.write(name, Buffer.from(script), { changeId: name });
  return output(workspace, `python3 ${name} 2>&1`);
}

/** Call the kernel by name in Python: `call(name, ...)` is `"ok"` or the name of the error. */
export const CALLS = `
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
NUMBERS = {
    "add_key": 248 if X86 else 217, "request_key": 249 if X86 else 218, "keyctl": 250 if X86 else 219,
    "bpf": 321 if X86 else 280, "perf_event_open": 298 if X86 else 241, "userfaultfd": 323 if X86 else 282,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "clone3": 435, "pidfd_open": 434, "pidfd_getfd": 438,
    "unshare": 272 if X86 else 97, "setns": 308 if X86 else 268, "mount": 165 if X86 else 40, "open_tree": 428, "fsopen": 430,
    "kexec_load": 246 if X86 else 104, "finit_module": 313 if X86 else 273, "ptrace": 101 if X86 else 117, "kcmp": 312 if X86 else 272,
    "open_by_handle_at": 304 if X86 else 265, "syslog": 103 if X86 else 116, "socket": 41 if X86 else 198,
}
def raw(name, *arguments):
    ctypes.set_errno(0)
    return libc.syscall(ctypes.c_long(NUMBERS[name]), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
def call(name, *arguments):
    return "ok" if raw(name, *arguments) >= 0 else errno.errorcode[ctypes.get_errno()]
`;
