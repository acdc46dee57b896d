import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Logger } from "@serverless-harness/kit/log";

/** How the processes of a jail for commands are bounded; 0: not by this. */
export interface ProcessBound {
  /** By the size of its namespace of process ids, which root can set. */
  readonly pids: number;
  /** By the user's limit in its user namespace, which does not count for root. */
  readonly nproc: number;
}

/** What bounds a jail's processes here. Where nothing does, the log says so, once. */
export function processBound(processes: number, log: Logger): ProcessBound {
  if (processes === 0) return { pids: 0, nproc: 0 };
  if (process.getuid?.() !== 0) return { pids: 0, nproc: processes };
  const script = fileURLToPath(new URL("./limit-pids.sh", import.meta.url));
  const namespaces = ["--pid", "--fork", "--kill-child", "--mount", "--propagation", "private"];
  const probe = spawnSync("unshare", [...namespaces, "/bin/sh", script, String(processes), "true"], { encoding: "utf8" });
  if (probe.status === 0) return { pids: processes, nproc: 0 };
  const why = probe.error?.message ?? probe.stderr.trim();
  log.warn({ why }, "HANDS_PROCESSES does not hold by the jail: give hands a cgroup v2 with the controller pids in HANDS_CGROUP");
  return { pids: 0, nproc: 0 };
}
