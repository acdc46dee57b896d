import type { Backlog } from "../contract/leaf-store.ts";
import type { Database } from "./database.ts";
import { list, text } from "./scripts.ts";

/** A tenant that may run only so many leaves at once, and what it has. */
interface Capped {
  readonly max: number;
  ready: number;
  running: number;
}

/** What waits and what runs: the sum of what each partition says of itself, without what a tenant at its cap may not run now. */
export async function readBacklog(database: Database): Promise<Backlog> {
  const capped = await readCapped(database);
  const tenants = [...capped.keys()];
  const parts = await Promise.all(database.names.all().map((partition) => database.run("backlog", partition, ...tenants)));
  let [ready, running, nextDueMs] = [0, 0, Number.POSITIVE_INFINITY];
  for (const part of parts) {
    const [readyHere, runningHere, due, ofCapped] = list(part);
    ready += Number(text(readyHere));
    running += Number(text(runningHere));
    if (text(due) !== "") nextDueMs = Math.min(nextDueMs, Number(text(due)));
    const counts = list(ofCapped).map((count) => Number(text(count)));
    for (const [index, each] of [...capped.values()].entries()) {
      each.ready += counts[index * 2] ?? 0;
      each.running += counts[index * 2 + 1] ?? 0;
    }
  }
  for (const each of capped.values()) ready -= Math.max(0, each.ready - Math.max(0, each.max - each.running));
  return { ready, running, ...(nextDueMs === Number.POSITIVE_INFINITY ? {} : { nextDueMs }) };
}

async function readCapped(database: Database): Promise<Map<string, Capped>> {
  const known = list(await database.runIndex("capped")).map(text);
  const capped = new Map<string, Capped>();
  for (let i = 0; i < known.length; i += 2) capped.set(known[i] ?? "", { max: Number(known[i + 1]), ready: 0, running: 0 });
  return capped;
}
