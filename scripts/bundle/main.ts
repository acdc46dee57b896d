/**
 * Bundles services, each into `dist/<service>/main.mjs` with parts beside it that are loaded when they are needed: a start reads some ten
 * files instead of more than a thousand. `node scripts/bundle/main.ts [--output DIR] [service ...]`; without names, all of them.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { carryAssets } from "./assets.ts";
import { lazyDescriptors } from "./lazy-descriptors.ts";
import { writePackages } from "./packages.ts";

/** What is bundled, and which of its sources are started apart: by the name of the file that they become. */
const SERVICES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  brain: { "caller-checks-worker": "pi-fork/tools/caller-checks-worker.ts" },
  dispatcher: { "caller-checks-worker": "dispatcher/caller-checks-worker.ts" },
  hands: {},
  leaf: {},
  model: { "recall-worker": "kit/stand-in-model/recall-worker.ts" },
};

/** Where a service that is no room of its own has its main file. */
const MAINS: Readonly<Record<string, string>> = { leaf: "clients/cli/main.ts", model: "kit/stand-in-model/main.ts" };

/** Those whose start counts; the others tell their whole schema to whoever asks, so they have to make all of it anyway. */
const STARTS_OFTEN: ReadonlySet<string> = new Set(["brain", "leaf"]);

/** Packages with a native add-on, which they look for beside themselves. */
const NATIVE = ["node-pty"];

const ROOT = resolve(import.meta.dirname, "../..");

/** What CommonJS packages expect to find, made when one of them asks for something: most files of a bundle have none. */
const REQUIRE =
  'import { createRequire as createRequireHere } from "node:module"; let requireHere; const require = (name) => (requireHere ??= createRequireHere(import.meta.url))(name);';

const { values, positionals } = parseArgs({ options: { output: { type: "string", default: join(ROOT, "dist") } }, allowPositionals: true });
const unknown = positionals.filter((name) => !Object.hasOwn(SERVICES, name));
if (unknown.length > 0) {
  process.stderr.write(`bundle: unknown service ${unknown.join(", ")}; there are ${Object.keys(SERVICES).join(", ")}\n`);
  process.exit(64);
}
for (const service of positionals.length > 0 ? positionals : Object.keys(SERVICES))
  await bundle(service, join(resolve(values.output), service));

async function bundle(service: string, directory: string): Promise<void> {
  const [fresh, old] = [`${directory}.new`, `${directory}.old`];
  for (const rest of [fresh, old]) rmSync(rest, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const apart = Object.entries(SERVICES[service] ?? {}).map(([name, source]) => [name, join(ROOT, source)] as const);
  const { metafile } = await build({
    entryPoints: { main: join(ROOT, MAINS[service] ?? `${service}/main.ts`), ...Object.fromEntries(apart) },
    outdir: fresh,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    metafile: true,
    absWorkingDir: ROOT,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    // Short to read for Node; names stay as they are, for stacks and for classes that are known by their name.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    banner: { js: REQUIRE },
    logLevel: "warning",
    external: NATIVE,
    plugins: [
      ...(STARTS_OFTEN.has(service) ? [lazyDescriptors()] : []),
      carryAssets(ROOT, fresh, new Map(apart.map(([name, source]) => [source, `${name}.mjs`]))),
    ],
  });
  writePackages(ROOT, metafile, NATIVE, join(fresh, "packages.json"));
  // Whoever starts meanwhile finds the old parts or the new ones, but for the moment between these two.
  if (existsSync(directory)) renameSync(directory, old);
  renameSync(fresh, directory);
  rmSync(old, { recursive: true, force: true });
}
