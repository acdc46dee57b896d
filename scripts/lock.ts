/**
 * Completes package-lock.json after `npm install`: adds the optional packages for other platforms that npm left out, because the
 * registry in use does not carry them. `npm ci` refuses a lock file without them, though it would not install them here.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./run.ts";

interface Package {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly link?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const file = join(ROOT, "package-lock.json");
const lock = JSON.parse(readFileSync(file, "utf8")) as { packages: Record<string, Package> };
const added: string[] = [];
for (const [path, parent] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    if (isLocked(path, name) || !/^\d+\.\d+\.\d+/.test(version)) continue;
    lock.packages[`node_modules/${name}`] = { version, ...(parent.dev === true ? { dev: true } : {}), optional: true, ...platformOf(name) };
    added.push(`${name}@${version}`);
  }
}
if (added.length > 0) {
  const [root, ...others] = Object.entries(lock.packages);
  const sorted = others.sort(([a], [b]) => a.localeCompare(b, "en"));
  lock.packages = Object.fromEntries(root === undefined ? sorted : [root, ...sorted]);
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
}
console.log(added.length === 0 ? "package-lock.json is complete" : `added to package-lock.json: ${added.join(", ")}`);

/** Where Node would find `name` from the package at `path`: beside it, or in any folder above. */
function isLocked(path: string, name: string): boolean {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    if (lock.packages[`${folder === "" ? "" : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (folder === "") return false;
    if (!folder.includes("/node_modules/")) folder = "";
  }
}

/** The platform that a package is for, by its name: `@scope/tool-linux-arm64-musl`. */
function platformOf(name: string): { os?: string[]; cpu?: string[]; libc?: string[] } {
  const [, os, cpu] = /(android|darwin|freebsd|linux|openharmony|win32|sunos|aix|netbsd|openbsd)-(\w+)/.exec(name) ?? [];
  if (os === undefined || cpu === undefined) return {};
  const libc = os !== "linux" ? {} : { libc: [/musl/.test(name) ? "musl" : "glibc"] };
  return { os: [os], cpu: [cpu.startsWith("arm") && cpu !== "arm64" ? "arm" : cpu], ...libc };
}
