import type { Backlog } from "../leaf-store.ts";
import type { Database } from "./database.ts";
import { list, text } from "./scripts.ts";

/** What waits and what runs: the sum of what each partition says of itself. */
export async function readBacklog(database: Database): Promise<Backlog> {
  const parts = await Promise.all(database.names.all().map((partition) => database.run("backlog", partition)));
  let [ready, running, nextDueMs] = [0, 0, Number.POSITIVE_INFINITY];
  for (const part of parts) {
    const [readyHere, runningHere, due] = list(part).map(text);
    ready += Number(readyHere);
    running += Number(runningHere);
    if (due !== undefined && due !== "") nextDueMs = Math.min(nextDueMs, Number(due));
  }
  return { ready, running, ...(nextDueMs === Number.POSITIVE_INFINITY ? {} : { nextDueMs }) };
}
