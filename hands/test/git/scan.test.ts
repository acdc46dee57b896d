import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { DEFAULT_TREE_LIMITS } from "../../fs/tree-limits.ts";
import type { ReadEntry } from "../../git/content-reader.ts";
import { type ScanOptions, scanTree, TrackedPaths } from "../../git/scan.ts";
import { rulesOnDisk } from "../../ignore/ignore-rules.ts";
import { write } from "./sandbox.ts";

async function scan(root: string, options: Partial<ScanOptions> = {}): Promise<Map<string, ReadEntry>> {
  const tracked = new TrackedPaths(async () => []);
  return (await scanTree({ root, limits: DEFAULT_TREE_LIMITS, known: new Map(), tracked, ignores: rulesOnDisk, ...options })).entries;
}

test("a file that is written again within one tick of the kernel's clock is read again", async () => {
  const root = await temporaryDirectory();
  write(root, { file: "0000" });
  const file = openSync(join(root, "file"), "r+");
  const oids = new Set<string | undefined>();
  let known = await scan(root);
  for (let i = 1; i <= 300; i++) {
    writeSync(file, String(i).padStart(4), 0);
    known = await scan(root, { known });
    oids.add(known.get("file")?.oid);
  }
  closeSync(file);
  expect(oids.size).toBe(300);
});

test("what has not changed since is not read", async () => {
  const root = await temporaryDirectory();
  write(root, { file: "1", link: { link: "file" }, "deep/file": "2" });
  const read: string[] = [];
  const sink = {
    has: () => false,
    add: async (content: Uint8Array) => void read.push(Buffer.from(content).toString()),
    addLarge: async () => undefined,
  };
  let known = await scan(root, { sink });
  expect(read.splice(0).sort()).toEqual(["1", "2", "file"]);
  // Once they are older than the kernel's clock is coarse.
  while ([...known.values()].some(({ tag }) => tag === "")) known = await scan(root, { known });
  expect([...(await scan(root, { known, sink })).values()]).toEqual([...known.values()]);
  expect(read).toEqual([]);
});

test("a scan that is abandoned ends", async () => {
  const root = await temporaryDirectory();
  write(root, Object.fromEntries(Array.from({ length: 800 }, (_, i) => [`d${i % 10}/${i}`, "x"])));
  await expect(scan(root, { signal: AbortSignal.abort(new Error("abandoned")) })).rejects.toThrow("abandoned");
});
