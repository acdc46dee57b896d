import { type Dirent, existsSync, lstatSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** Programs and libraries of the machine; whichever it has. */
const SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt"];

/** What programs need of /etc to load libraries, resolve names and check certificates. Nothing that says who uses this machine for what. */
const ETC = [
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "passwd",
  "group",
  "nsswitch.conf",
  "hosts",
  "resolv.conf",
  "services",
  "protocols",
  "localtime",
  "timezone",
  "alternatives",
  "ssl/certs",
  "ssl/openssl.cnf",
  "pki/tls/certs",
  "pki/ca-trust/extracted",
  "ca-certificates.conf",
];
/** Settings that Debian keeps in /etc though programs below /usr can't run without them. */
const ETC_PREFIXES = ["java-"];

/** Directories whose links lead to more certificates. */
const CERTIFICATES = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/** Arguments of bwrap that show a jail the machine's programs, and nothing of its people. */
export function systemMounts(): string[] {
  const more = [...etcPaths(), ...certificateHomes()];
  return [...SYSTEM.flatMap(systemMount), ...directoriesAround(more, "/"), ...more.flatMap(readOnly)];
}

/**
 * Arguments that make the directories below `root` that these paths are in. bwrap makes them by itself, but for
 * nobody but their owner to enter.
 */
export function directoriesAround(paths: readonly string[], root: string): string[] {
  const directories = new Set(paths.flatMap((path) => ancestors(path, root)));
  return [...directories].flatMap((directory) => ["--dir", directory]);
}

/** From the top. */
function ancestors(path: string, root: string): string[] {
  const parent = dirname(path);
  return parent === root ? [] : [...ancestors(parent, root), parent];
}

/** Arguments that bind a path read-only at its own place. */
function readOnly(path: string): string[] {
  return ["--ro-bind", path, path];
}

/** A directory is bound; a link, as /bin often is, is made again. */
function systemMount(path: string): string[] {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  return stat.isSymbolicLink() ? ["--symlink", readlinkSync(path), path] : readOnly(path);
}

function etcPaths(): string[] {
  const named = ETC.map((name) => join("/etc", name));
  const prefixed = listed("/etc").filter((name) => ETC_PREFIXES.some((prefix) => name.startsWith(prefix)));
  return [...named, ...prefixed.map((name) => join("/etc", name))].filter((path) => existsSync(path));
}

/** Directories outside of /usr and /etc/ssl/certs that certificates really lie in. */
function certificateHomes(): string[] {
  const homes = new Set<string>();
  for (const directory of CERTIFICATES) {
    for (const name of listed(directory)) {
      const home = homeOfLink(join(directory, name));
      if (home !== undefined) homes.add(home);
    }
  }
  return [...homes].filter((home) => !isShown(home));
}

function homeOfLink(path: string): string | undefined {
  try {
    if (!lstatSync(path).isSymbolicLink()) return undefined;
    return realpathSync(dirname(resolve(dirname(path), readlinkSync(path))));
  } catch {
    return undefined;
  }
}

function isShown(path: string): boolean {
  return [...SYSTEM, ...CERTIFICATES].some((shown) => path === shown || path.startsWith(`${shown}/`));
}

function listed(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/**
 * What programs need of the machine in /proc, beside their own processes. Everything else tells of hardware, keys,
 * addresses or other users, or lets root change them, and newer kernels bring more of it: none of that is in a jail.
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
 * Arguments of bwrap for a /proc of the jail's own processes. bwrap protects parts of it by itself, but only those
 * whose directory can be written, which /proc/sys never can though files in it can. `empty`: an empty file to cover
 * others with.
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

/**
 * Arguments of bwrap for a /dev of harmless devices. Nothing can be kept in it but in /dev/shm, to a bound. `more`:
 * arguments for other devices.
 */
export function deviceMounts(more: readonly string[] = []): string[] {
  return [
    ...["--dev", "/dev", "--size", String(SHARED_MEMORY_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm"],
    ...[...more, "--remount-ro", "/dev"],
  ];
}
