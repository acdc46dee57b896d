import { HarnessError } from "../errors.ts";
import { SideThread } from "../side-thread.ts";
import { ApiError } from "./api-error.ts";
import { wrong } from "./checks.ts";
import type { RecallTasks } from "./recall-worker.ts";

const thread = new SideThread<RecallTasks>(new URL("./recall-worker.ts", import.meta.url));

/**
 * What the group of a prompt's pattern matches in the first text that it matches; `undefined` if it matches none. The
 * pattern may take forever, so it runs in a side thread: a 400 that names `field` after 2 seconds, a 529 if too many wait.
 */
export async function recall(field: string, pattern: string, texts: readonly string[]): Promise<string | undefined> {
  const found = await thread.run("firstGroup", pattern, texts).catch((error: unknown) => {
    throw error instanceof HarnessError ? new ApiError(529, error.message) : error;
  });
  if (found === undefined) throw wrong(field, "takes longer than 2 s in this transcript: write one that backtracks less");
  return found.value;
}
