import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/**
 * A process that swaps symlinks to `outside` into a workspace (`directory`, `inner/file`) until the test ends. Files inside hold "inside",
 * those outside "outside".
 */
export async function startSwapper(workspace: string, outside: string): Promise<void> {
  for (const directory of [join(workspace, "directory"), join(workspace, "inner"), outside]) {
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "file"), directory === outside ? "outside" : "inside");
  }
  const child = spawn(process.execPath, [join(import.meta.dirname, "../fixtures/swap-symlinks.ts"), workspace, outside], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(async () => {
    const closed = once(child, "close");
    if (child.exitCode !== null) throw new Error("the swapper died");
    child.kill("SIGKILL");
    await closed;
  });
  await once(child.stdout, "data");
}
