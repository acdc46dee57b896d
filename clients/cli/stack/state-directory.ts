import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { generateKeys } from "@serverless-harness/kit/hands-token";
import { createSigningKeys } from "@serverless-harness/kit/signing-keys";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { LAYOUT, type StackPaths } from "./paths.ts";
import { ensurePrivateDirectory } from "./private-directory.ts";

/** What is there before the version is: the lock, and the version's draft. */
const OURS = /^(?:lock|version\.\d+\.new$)/;

/** Make whatever a state directory lacks: its version, token, keys and folders. The caller holds the lock. */
export async function prepareStateDirectory(paths: StackPaths): Promise<void> {
  checkLayout(paths);
  if (!existsSync(paths.version)) writePrivate(paths.version, `${JSON.stringify({ layout: LAYOUT })}\n`);
  for (const folder of [paths.keys, paths.audit, paths.run, paths.logs]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const folder of [paths.workspaces, paths.sandboxState]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  ensurePrivateDirectory(paths.handsDir);
  for (const token of [paths.token, paths.brainToken]) {
    if (!existsSync(token)) writePrivate(token, `${randomBytes(32).toString("base64url")}\n`);
  }
  if (!existsSync(paths.signingKeys)) writePrivate(paths.signingKeys, await createSigningKeys());
  if (existsSync(paths.privateKey) && existsSync(paths.publicKey)) return;
  const keys = generateKeys();
  writePrivate(paths.publicKey, keys.publicKey);
  writePrivate(paths.privateKey, keys.privateKey);
}

/** Refuse a directory that another version made, or that is none of ours. A directory that is missing or empty is fine. */
export function checkLayout(paths: StackPaths): void {
  // What lies there is looked at first: another `leaf up` may be making the directory, which writes the version before all the rest.
  const others = existsSync(paths.dir) ? readdirSync(paths.dir).filter((name) => !OURS.test(name)) : [];
  const found = readLayout(paths);
  if (found === LAYOUT) return;
  const way = "move it away, or choose another with --dir";
  if (found === undefined) {
    if (others.length === 0) return;
    throw new CliError(ExitCode.refused, "foreign_directory", `${paths.dir} is not a state directory of leaf: ${way}`);
  }
  const message = `${paths.dir} has layout ${found}, this version of leaf needs layout ${LAYOUT}: ${way}`;
  throw new CliError(ExitCode.refused, "layout_mismatch", message);
}

/** The layout's number as it is written, or `undefined` where there is no version file. */
function readLayout(paths: StackPaths): unknown {
  let text: string;
  try {
    text = readFileSync(paths.version, "utf8");
  } catch {
    return undefined;
  }
  try {
    return (JSON.parse(text) as { layout?: unknown } | null)?.layout ?? "unknown";
  } catch {
    return "unknown";
  }
}

/** Write a file that only its owner reads. It appears whole or not at all. */
export function writePrivate(path: string, text: string): void {
  const draft = `${path}.${process.pid}.new`;
  rmSync(draft, { force: true });
  writeFileSync(draft, text, { flag: "wx", mode: 0o600 });
  renameSync(draft, path);
}
