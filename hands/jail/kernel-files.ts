import { type Dirent, readdirSync } from "node:fs";
import { join } from "node:path";

/**
 * What programs need of the machine in /proc, beside their own processes. Everything else tells of hardware, keys, addresses or other users, or lets
 * root change them, and newer kernels bring more of it: none of that is in a jail.
 */
const KEPT = [
  "cgroups",
  "cpuinfo",
  "devices",
  "diskstats",
  "filesystems",
  "loadavg",
  "meminfo",
  "mounts",
  "net",
  "partitions",
  "self",
  "stat",
  "swaps",
  "sysvipc",
  "thread-self",
  "uptime",
  "version",
  "vmstat",
];
/** What programs read there that somebody may also write to. */
const READ_ONLY = ["pressure", "sys"];

/** How large shared memory of a jail may become, in bytes. */
const SHARED_MEMORY_BYTES = 256 * 1024 * 1024;

/**
 * Arguments of bwrap for a /proc of the jail's own processes. bwrap protects parts of it by itself, but only those whose directory can be written, which
 * /proc/sys never can though files in it can. `empty`: an empty file to cover others with.
 */
export function procMounts(empty: string): string[] {
  const shared = readdirSync("/proc", { withFileTypes: true }).filter(({ name }) => !/^\d+$/.test(name) && !KEPT.includes(name));
  return ["--proc", "/proc", ...shared.flatMap((entry) => covered(entry, empty))];
}

function covered(entry: Dirent, empty: string): string[] {
  const path = join("/proc", entry.name);
  if (READ_ONLY.includes(entry.name)) return ["--ro-bind", path, path];
  return entry.isDirectory() ? ["--tmpfs", path, "--remount-ro", path] : ["--ro-bind", empty, path];
}

/** Arguments of bwrap for a /dev of harmless devices. Nothing can be kept in it but in /dev/shm, to a bound. `more`: arguments for other devices. */
export function deviceMounts(more: readonly string[] = []): string[] {
  return [
    ...["--dev", "/dev", "--size", String(SHARED_MEMORY_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm"],
    ...[...more, "--remount-ro", "/dev"],
  ];
}
