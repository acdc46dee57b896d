import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A service's bundle, which is what a stack and an image start. Throws where it was not made. */
export function bundleOf(service: "brain" | "dispatcher" | "hands"): string {
  const path = join(ROOT, "dist", service, "main.mjs");
  if (!existsSync(path)) throw new Error(`${path} is missing: npm run bundle`);
  return path;
}
