/** Runs every static check, each with one line of result, and shows the output of those that fail. Exit code 1 if one does. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findViolations, readImports, readRooms } from "./rooms.ts";
import { type Finished, run } from "./run.ts";

interface Check {
  readonly name: string;
  readonly work: () => Promise<Finished>;
}

/** The contracts of the last release. A file, since CI's clone may have no tags; CONTRIBUTING.md says how a release renews it. */
const RELEASED = "proto/released.binpb";

/** What the compiler knows of an earlier run, so that the next one takes a fifth of the time. */
const TYPES_CACHE = "node_modules/.cache/leaf/types.tsbuildinfo";

const CHECKS: readonly Check[] = [
  { name: "types (tsc)", work: () => run("tsc", ["-p", ".", "--noEmit", "--incremental", "--tsBuildInfoFile", TYPES_CACHE]) },
  { name: "format and lint (biome)", work: () => run("biome", ["ci", "--reporter=summary", "."]) },
  { name: "imports run down (rooms.json)", work: importsRunDown },
  { name: "contracts (buf lint)", work: () => run("buf", ["lint"]) },
  { name: "contracts break no client of the last release (buf breaking)", work: () => run("buf", ["breaking", "--against", RELEASED]) },
  { name: "generated code is current (buf generate)", work: generatedCodeIsCurrent },
  { name: "nothing unused (knip)", work: () => run("knip", ["--no-progress", "--no-config-hints"]) },
];

let failed = 0;
for (const { name, work } of CHECKS) {
  const started = performance.now();
  const { code, output } = await work();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${code === 0 ? "✓" : "✗"} ${name}, ${seconds} s`);
  if (code === 0) continue;
  failed++;
  console.log(output.trimEnd().replace(/^/gm, "    "));
}
console.log(
  failed === 0 ? `check: ${CHECKS.length} of ${CHECKS.length} are clean` : `check: ${failed} of ${CHECKS.length} found something`,
);
process.exitCode = failed === 0 ? 0 : 1;

async function importsRunDown(): Promise<Finished> {
  const violations = findViolations(readRooms(), readImports());
  return { code: violations.length === 0 ? 0 : 1, output: violations.map((violation) => `${violation}\n`).join("") };
}

/** Generate into an empty directory and compare with what is committed. */
async function generatedCodeIsCurrent(): Promise<Finished> {
  const fresh = mkdtempSync(join(tmpdir(), "leaf-generated-"));
  try {
    const generated = await run("buf", ["generate", "--output", fresh]);
    if (generated.code !== 0) return generated;
    const compared = await run("diff", ["-r", "proto/gen", join(fresh, "proto/gen")]);
    return compared.code === 0 ? compared : { ...compared, output: `${compared.output}run: npm run generate\n` };
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}
