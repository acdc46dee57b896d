import { existsSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/** The directory of the cgroup v2 that this process is in; `undefined` where there is none, or none that counts memory. */
export function ownCgroup(): string | undefined {
  const path = /^0::(\/.*)$/m.exec(readText("/proc/self/cgroup"))?.[1];
  const mount = readText("/proc/self/mountinfo")
    .split("\n")
    .map((line) => line.split(" "))
    .find((fields) => fields[fields.indexOf("-") + 1] === "cgroup2");
  const [root, place] = [mount?.[3], mount?.[4]];
  if (path === undefined || root === undefined || place === undefined) return undefined;
  // A container's mount shows a part of the tree: the part below `root`.
  const below = relative(root, path);
  const directory = below.startsWith("..") ? place : join(place, below);
  return existsSync(join(directory, "memory.events")) ? directory : undefined;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
