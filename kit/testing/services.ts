import { existsSync } from "node:fs";
import { join } from "node:path";
import { compiledSources } from "../compiled.ts";

/** The checkout. */
export const ROOT = join(import.meta.dirname, "../..");

/** For whoever starts a service in a process of its own: Node finds there what scripts/setup.sh compiled it to. */
export const COMPILED: Readonly<Record<string, string>> = compiledSources(ROOT);

/**
 * A service's bundle, which is what a stack and an image start; it starts in half the time that its sources take. Throws if it was not made.
 * Whoever runs the tests has it made of the sources as they are.
 */
export function bundleOf(service: "brain" | "dispatcher" | "hands" | "model"): string {
  const path = join(ROOT, "dist", service, "main.mjs");
  if (!existsSync(path)) throw new Error(`${path} is missing: sh scripts/setup.sh`);
  return path;
}
