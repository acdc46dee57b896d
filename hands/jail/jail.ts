import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ConfigError } from "@serverless-harness/kit/env";
import type { HandsConfig } from "../config.ts";
import { ownCgroup } from "../process/cgroup/cgroup-v2.ts";
import { MEMORY_FLAGS, memoryEnvironment } from "../process/memory-flags.ts";
import { EMPTY, findBubblewrap, jailFiles, STAGE } from "./command-jail.ts";
import { deviceMounts, directoriesAround, procMounts, systemMounts } from "./mounts.ts";

/** Where things are inside. What lies below {@link DAEMON} is the daemon's alone: commands don't see it. */
const DAEMON = "/run/hands";
const PROGRAM = `${DAEMON}/program`;
const INNER = {
  node: `${DAEMON}/node`,
  state: `${DAEMON}/state`,
  socket: `${DAEMON}/socket`,
  publicKey: `${DAEMON}/public-key.pem`,
  files: `${DAEMON}/files`,
  artifacts: `${DAEMON}/artifacts`,
  artifactsKey: `${DAEMON}/artifacts.key`,
  repositories: `${DAEMON}/repositories`,
  cgroup: `${DAEMON}/cgroup`,
  workspaces: "/workspaces",
  home: "/home/agent",
  temporary: "/tmp",
} as const;

/** The user-mode network of a workspace is made with this device. */
const NETWORK_DEVICE = "/dev/net/tun";

/** Parts of this repository that the daemon runs from. */
const PARTS = ["package.json", "hands", "kit", "proto", "dist/hands", "node_modules"];

/** Namespaces of the jail, which the jail for commands inside of it has again. */
const NAMESPACES = ["--unshare-pid", "--unshare-ipc", "--die-with-parent"];
/** What root keeps of its powers: those over files, and those that make a jail of other users within this one. */
const POWERS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETFCAP"];

/**
 * Runs bwrap and passes SIGTERM on to the daemon in it: bwrap itself would die of it, and leave the daemon behind.
 * Its first child is the jail's init, that one's first child the daemon. SIGINT needs no passing on, a terminal sends
 * it to all of them. It takes the place of the process that was started, so its pid and its exit code are the
 * daemon's to everybody outside; if it is killed, so is the jail.
 */
const SUPERVISOR = `
first_child() {
  # No newline is at its end, so read fails though it reads.
  read -r child rest </proc/$1/task/$1/children
  echo "$child"
}
pass_on() {
  { init=$(first_child "$jail"); daemon=$(first_child "$init"); kill -TERM "$daemon" || kill -TERM "$jail"; } 2>/dev/null
}
trap pass_on TERM HUP
trap : INT
bwrap "$@" &
jail=$!
while :; do
  wait "$jail"
  status=$?
  kill -0 "$jail" 2>/dev/null || exit "$status"
done
`;

/**
 * Go into the jail: this process becomes its supervisor and runs the daemon inside. Does not return. Throws a ConfigError if
 * bubblewrap is missing or can't make its namespaces.
 */
export function enterJail(config: HandsConfig): never {
  const bwrap = findBubblewrap();
  assertWorks(bwrap);
  const temporary = join(config.workspaces, ".tmp");
  const home = join(config.workspaces, ".home");
  for (const directory of [config.workspaces, config.state, temporary, home]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const args = ["sh", "-c", SUPERVISOR, "sh", ...jailArguments(config, { temporary, home })];
  // Nothing of the outer environment: a process in the jail could read it from the jail's init.
  process.execve?.("/bin/sh", args, { PATH: `${dirname(bwrap)}:/usr/bin:/bin` });
  throw new ConfigError("this Node can't replace its process: run hands with Node 24 or newer");
}

function jailArguments(config: HandsConfig, own: { readonly temporary: string; readonly home: string }): string[] {
  const { program, environment, mounts } = insideOf(config);
  const devices = config.network === "public" ? ["--dev-bind-try", NETWORK_DEVICE, NETWORK_DEVICE] : [];
  return [
    ...[...NAMESPACES, "--unshare-uts", "--hostname", HOST_NAME],
    // From a namespace of its own it may not be allowed to move processes into groups elsewhere.
    ...(config.cgroup === undefined ? ["--unshare-cgroup-try"] : []),
    ...powers(),
    ...(config.network === "none" ? ["--unshare-net"] : []),
    ...[...systemMounts(), ...directoriesAround([INNER.home], "/"), "--ro-bind", writeHosts(config.state), "/etc/hosts"],
    ...[...procMounts(join(jailFiles().etc, EMPTY)), ...deviceMounts(devices), "--tmpfs", "/run", "--dir", DAEMON, "--dir", STAGE],
    // One may mount a /proc in a jail within this one only if there is a whole one to be seen; root makes that itself.
    ...(isRoot() ? [] : ["--proc", `${DAEMON}/proc`]),
    ...["--bind", config.workspaces, INNER.workspaces, "--bind", own.temporary, INNER.temporary, "--bind", own.home, INNER.home],
    ...["--bind", config.state, INNER.state],
    ...mounts,
    // The jail's own root is memory: nothing may grow there.
    ...["--remount-ro", "/"],
    ...["--clearenv", ...Object.entries(environment).flatMap(([name, value]) => ["--setenv", name, value])],
    ...["--chdir", INNER.workspaces, "--", ...program],
  ];
}

/** The daemon's own code, socket and key inside, and the environment that tells it so. */
function insideOf(config: HandsConfig): { program: string[]; environment: Record<string, string>; mounts: string[] } {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const mounts = PARTS.map((part) => [join(root, part), `${PROGRAM}/${part}`] as const)
    .filter(([from]) => existsSync(from))
    .flatMap(([from, to]) => ["--ro-bind", from, to]);
  mounts.push("--ro-bind", process.execPath, INNER.node);
  const environment: Record<string, string> = {
    ...config.variables,
    HANDS_JAILED: "1",
    // Inside, the limit of a container is not to be seen.
    HANDS_JAILS: String(config.maxJails),
    HANDS_WORKSPACES: INNER.workspaces,
    HANDS_STATE: INNER.state,
    HANDS_HOME: INNER.home,
    HANDS_TMP: INNER.temporary,
    ...memoryEnvironment(PROGRAM),
  };
  if (config.listen.kind === "unix") {
    mounts.push("--bind", dirname(config.listen.path), INNER.socket);
    environment["HANDS_LISTEN"] = `unix:${INNER.socket}/${basename(config.listen.path)}`;
  }
  if (config.variables["HANDS_ARTIFACTS"]?.startsWith("file:")) {
    const directory = fileURLToPath(config.artifacts);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    mounts.push("--bind", directory, INNER.artifacts);
    environment["HANDS_ARTIFACTS"] = pathToFileURL(INNER.artifacts).href;
  }
  if (config.localRepositories.length > 0) {
    for (const [index, { path, at = path }] of config.localRepositories.entries())
      mounts.push("--ro-bind", at, `${INNER.repositories}/${index}`);
    environment["HANDS_REPOSITORIES_AT"] = INNER.repositories;
  }
  const own = config.cgroup === undefined ? ownCgroup() : undefined;
  if (config.cgroup !== undefined) {
    mounts.push("--bind", config.cgroup, INNER.cgroup);
    environment["HANDS_CGROUP"] = INNER.cgroup;
  } else if (own !== undefined) {
    mounts.push("--ro-bind", own, INNER.cgroup);
    environment["HANDS_OWN_CGROUP"] = INNER.cgroup;
  }
  if (config.publicKeyFile !== undefined) {
    mounts.push("--ro-bind", config.publicKeyFile, INNER.publicKey);
    environment["HANDS_PUBLIC_KEY_FILE"] = INNER.publicKey;
  }
  if (config.artifactsKeyFile !== undefined) {
    mounts.push("--ro-bind", config.artifactsKeyFile, INNER.artifactsKey);
    environment["HANDS_ARTIFACTS_KEY_FILE"] = INNER.artifactsKey;
  }
  const { relay } = config;
  const replaceable = [...Object.values(config.tls ?? {}), ...(relay === undefined ? [] : [relay.tokenFile, ...Object.values(relay.tls)])];
  for (const { variable, path } of replaceable) {
    if (path === undefined) continue;
    const shown = showReplaceable(path, `${INNER.files}/${variable}`);
    mounts.push(...shown.mount);
    environment[variable] = shown.path;
  }
  return {
    program: [INNER.node, ...MEMORY_FLAGS, join(PROGRAM, relative(root, realpathSync(process.argv[1] ?? "")))],
    environment,
    mounts,
  };
}

/**
 * Show a file by the directory that it is in, so that another file that takes its place is seen. A link that leads
 * out of its directory can't be followed there: then it is the file itself that is shown, as it is at the start.
 */
function showReplaceable(path: string, place: string): { readonly mount: string[]; readonly path: string } {
  const inner = join(place, basename(path));
  const stays = realpathSync(path).startsWith(`${realpathSync(dirname(path))}/`);
  return { mount: stays ? ["--ro-bind", dirname(path), place] : ["--ro-bind", path, inner], path: inner };
}

/** Arguments that leave root what it needs; anybody else gets it in a user namespace only, in which it reaches nothing outside. */
function powers(): string[] {
  if (!isRoot()) return ["--unshare-user"];
  return ["--cap-drop", "ALL", ...POWERS.flatMap((name) => ["--cap-add", name])];
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Make the jail once, around nothing: its absence must be told here, in words, and not by a daemon that never comes up. */
function assertWorks(bwrap: string): void {
  const around = [...NAMESPACES, ...powers(), "--bind", "/", "/", "--proc", "/proc", "--dev", "/dev"];
  const probe = spawnSync(bwrap, [...around, "true"], { encoding: "utf8" });
  if (probe.status === 0) return;
  const why = probe.error?.message ?? probe.stderr.trim().split("\n").at(-1) ?? "";
  throw new ConfigError(
    `bubblewrap can't make its namespaces here (${why}): allow unprivileged user namespaces, or set HANDS_SANDBOX=process to run commands unconfined`,
  );
}

const HOST_NAME = "sandbox";

const MACHINES = "/etc/hosts";

/**
 * Write the jail's /etc/hosts into this directory: the machine's, and before it the jail's own name, which programs
 * look up. Returns its path.
 */
function writeHosts(directory: string): string {
  const path = join(directory, "hosts");
  const machines = existsSync(MACHINES) ? readFileSync(MACHINES, "utf8") : "127.0.0.1 localhost\n::1 localhost\n";
  writeFileSync(path, `127.0.1.1 ${HOST_NAME}\n${machines}`);
  return path;
}
