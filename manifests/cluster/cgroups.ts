import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where each hierarchy of cgroup v1 is. */
const MOUNTED = "/sys/fs/cgroup";
/** What the kubelet needs; `systemd` is a hierarchy by that name, without a controller. */
const CONTROLLERS = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"];

/**
 * The cluster's own group in each hierarchy, below this process's, where the cluster's limits are at most ours. Throws if the machine has no cgroup v1.
 * `membership` is /proc/self/cgroup.
 */
export function ownGroups(name: string, membership: string = readFileSync("/proc/self/cgroup", "utf8")): string[] {
  const lines = membership
    .trim()
    .split("\n")
    .map((line) => line.split(":"));
  return CONTROLLERS.map((controller) => {
    const found = lines.find(([, controllers]) =>
      controllers?.split(",").some((one) => one === controller || one === `name=${controller}`),
    );
    if (found === undefined) {
      throw new Error(
        `this machine has no cgroup v1 controller "${controller}", which the test cluster is made for; on such a machine use Kind and set KUBECONFIG`,
      );
    }
    return join(MOUNTED, controller, found.slice(2).join(":"), name);
  });
}

/** Make the groups. */
export function makeGroups(groups: readonly string[]): void {
  for (const group of groups) {
    mkdirSync(group);
    // A group of cpuset starts with no processors and no memory, and takes no process then.
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      const own = join(group, file);
      if (existsSync(own)) writeFileSync(own, readFileSync(join(dirname(group), file)));
    }
  }
}

/** The processes in the groups and in those below them. */
export function processesIn(groups: readonly string[]): number[] {
  const found = groups.flatMap((group) => below(group).flatMap((one) => readIfThere(join(one, "cgroup.procs")).split("\n")));
  return [...new Set(found.filter(Boolean).map(Number))];
}

/** Remove the groups and all below them. Throws if a process is still in one. */
export function removeGroups(groups: readonly string[]): void {
  for (const group of groups) for (const one of below(group).reverse()) rmdirSync(one);
}

/** A group and all below it, parents first. Empty if it is not there. */
function below(group: string): string[] {
  if (!existsSync(group)) return [];
  const children = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [group, ...children.flatMap(({ name }) => below(join(group, name)))];
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // A group can be removed while they are read, its processes are gone then.
    if (["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
    throw error;
  }
}
