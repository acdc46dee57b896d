import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { attempt, run } from "./command.ts";

/** The Go modules of the test cluster, the longest build first, and the names that each one's program is called by. */
export const MODULES = {
  kubernetes: ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"],
  coredns: [],
  netpol: [],
  probe: [],
} as const;

export type Module = keyof typeof MODULES;

const SOURCES = join(import.meta.dirname, "modules");
/** Static programs, since images hold nothing else; without symbols and paths, so that the same source gives the same bytes. */
const FLAGS = ["-trimpath", "-ldflags"];
const LINKER_FLAGS = "-s -w";

/** The directories of the built programs, by module. */
export type Programs = Readonly<Record<Module, string>>;

/** Build what the cache lacks. `say` hears of every step. */
export async function buildPrograms(cache: string, say: (text: string) => void): Promise<Programs> {
  const version = await goVersion();
  const built: [string, string][] = [];
  for (const module of Object.keys(MODULES) as Module[]) built.push([module, await buildProgram(module, version, cache, say)]);
  return Object.fromEntries(built) as Programs;
}

/** The hash of all that decides how a program turns out: every file of its module, by name, and Go's version and platform. */
export function inputsHash(directory: string, goVersion: string): string {
  const hash = createHash("sha256").update(`${goVersion}\0${FLAGS.join(" ")} ${linkerFlags(directory)}\0`);
  for (const name of readdirSync(directory).sort()) {
    const text = readFileSync(join(directory, name));
    hash.update(`${name}\0${text.length}\0`).update(text);
  }
  return hash.digest("hex").slice(0, 32);
}

/** Kubernetes is told its version when it is linked: without, it says v0.0.0, which operators refuse as too old. */
function linkerFlags(directory: string): string {
  const [, version, major, minor] = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)/.exec(readFileSync(join(directory, "go.mod"), "utf8")) ?? [];
  if (version === undefined) return LINKER_FLAGS;
  const known = Object.entries({ gitVersion: version, gitMajor: major, gitMinor: minor });
  return [LINKER_FLAGS, ...known.map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)].join(" ");
}

async function goVersion(): Promise<string> {
  const found = await attempt("go", ["env", "GOVERSION", "GOOS", "GOARCH"]).catch(() => undefined);
  if (found?.code === 0) return found.stdout.trim().split("\n").join(" ");
  throw new Error("Go is missing: its 1.26 or a newer version builds the programs of the cluster; install it from https://go.dev/dl/");
}

async function buildProgram(module: Module, version: string, cache: string, say: (text: string) => void): Promise<string> {
  const source = join(SOURCES, module);
  const directory = join(cache, inputsHash(source, version));
  if (existsSync(directory)) return directory;
  mkdirSync(cache, { recursive: true });
  say(`building ${module}${module === "kubernetes" ? ", which takes some 20 minutes on two processors the first time" : ""}`);
  // A build that breaks off leaves no program that looks whole: the directory gets its name last.
  const fresh = mkdtempSync(join(cache, "building-"));
  try {
    await run("go", ["build", ...FLAGS, linkerFlags(source), "-o", join(fresh, module), "."], {
      cwd: source,
      env: { CGO_ENABLED: "0", GOFLAGS: "-mod=readonly" },
    });
    for (const name of MODULES[module]) symlinkSync(module, join(fresh, name));
    renameSync(fresh, directory);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return directory;
}
