import type { Leaf } from "@serverless-harness/proto/leaf";
import { checkFilesDue } from "../contract/files.ts";
import type { Database } from "./database.ts";
import { leafOf } from "./records.ts";
import { list, text } from "./scripts.ts";

/** Leaves whose files have to be written: of one partition after the other, beginning anywhere, so that none waits for long. */
export async function leavesWithFilesDue(database: Database, limit: number): Promise<Leaf[]> {
  checkFilesDue(limit);
  const { partitions } = database.names;
  const first = Math.floor(Math.random() * partitions);
  const due: Leaf[] = [];
  for (let i = 0; i < partitions && due.length < limit; i++) {
    const found = list(await database.run("filesDue", (first + i) % partitions, limit - due.length));
    for (let at = 0; at < found.length; at += 2) {
      const leaf = leafOf(text(found[at]), found[at + 1]);
      if (leaf !== undefined) due.push(leaf);
    }
  }
  return due;
}

/** What a leaf had to show at an event is written. */
export async function filesAreWritten(database: Database, leafId: string, seq: bigint): Promise<void> {
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition !== undefined) await database.run("filesWritten", partition, leafId, seq);
}

/** A leaf's files can't be written now. */
export async function putFilesOff(database: Database, leafId: string): Promise<void> {
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition !== undefined) await database.run("filesPutOff", partition, leafId);
}
