import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { STORES } from "@serverless-harness/kit/testing/memory";
import type { LeafStore } from "../contract/leaf-store.ts";
import { openSqliteLeafStore } from "../sqlite/store.ts";
import type { LeafStoreFixture } from "../testing/index.ts";

/** A fresh SQLite store in a directory of its own. */
export async function sqliteFixture(): Promise<LeafStoreFixture & { readonly path: string }> {
  const directory = await mkdtemp(join(STORES, "leaf-store-"));
  const path = join(directory, "leaf.db");
  const handles: LeafStore[] = [];
  const connect = async (now?: () => number): Promise<LeafStore> => {
    const handle = openSqliteLeafStore(path, now === undefined ? {} : { now });
    handles.push(handle);
    return handle;
  };
  return {
    path,
    store: await connect(),
    connect,
    async [Symbol.asyncDispose]() {
      for (const handle of handles) await handle.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
