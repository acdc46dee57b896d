import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** What a bundle was made of. The dispatcher starts the brain that lies beside it; `leaf` is the command itself. */
const SOURCES = {
  brain: ["brain", "kit", "pi-fork", "proto", "session", "hands/client"],
  dispatcher: ["dispatcher", "kit", "pi-fork", "proto", "session", "hands/client"],
  hands: ["hands", "kit", "proto"],
  model: ["kit"],
  leaf: ["clients/cli", "kit", "proto"],
} as const;

type Bundled = keyof typeof SOURCES;

/** A program that the stack runs. */
export type Program = Exclude<Bundled, "leaf">;

/** All that a stack runs. */
export const PROGRAMS = Object.keys(SOURCES).filter((name): name is Program => name !== "leaf");

/** A program's bundle below the root of a checkout or of a version. */
export function bundleOf(program: Bundled): string {
  return `dist/${program}/main.mjs`;
}

/** Programs without a bundle that is newer than every source that it was made of, so that nobody runs yesterday's code. `npm run setup` makes them. */
export function staleBundles(root: string): readonly Program[] {
  return PROGRAMS.filter((program) => !hasCurrentBundle(root, program));
}

/** Whether a program has a bundle that is newer than every source that it was made of. */
export function hasCurrentBundle(root: string, program: Bundled): boolean {
  const bundle = join(root, bundleOf(program));
  if (!existsSync(bundle)) return false;
  const made = statSync(bundle).mtimeMs;
  return !SOURCES[program].some((directory) => hasNewer(join(root, directory), made));
}

function hasNewer(directory: string, than: number): boolean {
  // What people read changes no program.
  return readdirSync(directory, { withFileTypes: true }).some((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return entry.name !== "node_modules" && entry.name !== "test" && hasNewer(path, than);
    return !entry.name.endsWith(".md") && statSync(path).mtimeMs > than;
  });
}
