import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { CliError, ExitCode } from "../errors.ts";
import { LAYOUT, type SandboxPaths, type StackPaths } from "./paths.ts";
import { ensurePrivateDirectory, writePrivate } from "./private-files.ts";

/** What exists before the version file does: the lock, and the draft of the version file. */
const OURS = /^(?:lock|version\.\d+\.new$)/;

/** Make whatever the state directory lacks: its version, token, keys and folders. The caller holds the lock. */
export async function prepareStateDirectory(paths: StackPaths): Promise<void> {
  claimStateDirectory(paths);
  for (const folder of [paths.keys, paths.audit, paths.run, paths.logs]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const token of [paths.token, paths.brainToken]) {
    if (!existsSync(token)) writePrivate(token, `${randomBytes(32).toString("base64url")}\n`);
  }
  if (!existsSync(paths.signingKeys)) {
    const { createSigningKeys } = await import("@serverless-harness/kit/signing-keys");
    writePrivate(paths.signingKeys, await createSigningKeys());
  }
  if (existsSync(paths.privateKey) && existsSync(paths.publicKey)) return;
  const { generateKeys } = await import("@serverless-harness/kit/hands-token");
  const keys = generateKeys();
  writePrivate(paths.publicKey, keys.publicKey);
  writePrivate(paths.privateKey, keys.privateKey);
}

/** Mark the directory as ours. The caller holds the lock. */
export function claimStateDirectory(paths: StackPaths): void {
  checkLayout(paths);
  if (!existsSync(paths.version)) writePrivate(paths.version, `${JSON.stringify({ layout: LAYOUT })}\n`);
}

/** Make the directories of a sandbox. */
export function prepareSandbox({ workspaces, state, socketDir }: SandboxPaths): void {
  for (const folder of [workspaces, state]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  ensurePrivateDirectory(socketDir);
}

/** Refuse a directory that another version made, or that is not ours. A directory that is missing or empty is fine. */
export function checkLayout(paths: StackPaths): void {
  // Listed before the version is read: another `leaf up` may be making the directory, and it writes the version first.
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

/** The layout's number as it is written, or `undefined` if there is no version file. */
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
