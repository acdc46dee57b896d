import type { Database } from "./database.ts";
import { list, text } from "./scripts.ts";

/**
 * Bring the index of tenants in line with the partitions. A process that dies on a cluster between a step and telling the index of it leaves
 * the index behind; on one node it never is.
 */
export async function repairIndex(database: Database): Promise<void> {
  const [first = 0, ...others] = database.names.all();
  // A Redis that was started again learns the scripts from the first, not from each.
  await comparePartition(database, first);
  await Promise.all(others.map((partition) => comparePartition(database, partition)));
}

/** Bring the index in line with what became ready in a partition by time alone. */
export async function promoteDue(database: Database, partition: number): Promise<void> {
  await database.change("inspect", partition, "");
}

async function comparePartition(database: Database, partition: number): Promise<void> {
  let cursor = "0";
  for (let page: "first" | "more" = "first"; ; page = "more") {
    const [news, next] = list(await database.run("inspect", partition, cursor));
    const told = list(news);
    cursor = text(next);
    await database.tell(partition, told, page);
    const [version = "", , ...tenants] = told.map(text);
    const idle = tenants.filter((_, i) => i % 3 === 0 && tenants[i + 1] === "" && tenants[i + 2] === "0");
    if (idle.length > 0) await database.run("forget", partition, version, ...idle);
    if (cursor === "0") return;
  }
}
