import { translateError } from "@serverless-harness/kit/paths/path-error";
import { shownName } from "../fs/byte-handle.ts";
import { Pacer } from "../fs/pacer.ts";
import { readBlobs } from "./blob-reader.ts";
import type { ObjectStore } from "./object-store.ts";
import type { TreeChange } from "./tree-entries.ts";
import type { TreeWriter } from "./tree-writer.ts";

/** Write, in the order given, what is there after each change, out of a store. Errors name the path. */
export async function writeEntries(
  store: ObjectStore,
  writer: TreeWriter,
  changes: readonly TreeChange[],
  signal: AbortSignal,
): Promise<void> {
  const pacer = new Pacer(signal);
  const writes = changes.flatMap(({ path, after }) => (after === undefined ? [] : [{ path, after }]));
  const oids = writes.map(({ after }) => after.oid);
  let index = 0;
  for await (const blob of readBlobs(store.git, store.gitDir, oids, signal)) {
    const next = writes[index++];
    if (next === undefined) return;
    try {
      await writer.write(next.path, next.after.mode, blob);
    } catch (error) {
      throw translateError(error, shownName(next.path));
    }
    if (pacer.due) await pacer.rest();
  }
}
