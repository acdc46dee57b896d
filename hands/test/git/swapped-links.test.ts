import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { DEFAULT_TREE_LIMITS } from "../../fs/tree-limits.ts";
import type { OutgoingBlob } from "../../git/blob-reader.ts";
import { scanTree, TrackedPaths } from "../../git/scan.ts";
import { ConcurrentChange, TreeWriter } from "../../git/tree-writer.ts";
import { rulesOnDisk } from "../../ignore/ignore-rules.ts";
import { startSwapper } from "../files/swapper.ts";
import { contents, reasonOf, Sandbox, write } from "./sandbox.ts";

/** A tree in which a command swaps a directory and a file with links to what is outside, which holds "outside". */
async function swappedTree(): Promise<{ root: string; outside: string; staging: string }> {
  const base = await temporaryDirectory();
  const places = { root: join(base, "root"), outside: join(base, "outside"), staging: join(base, "staging") };
  mkdirSync(places.root);
  await startSwapper(places.root, places.outside);
  return places;
}

test("links swapped in while a tree is read never bring in what is outside", async () => {
  const { root } = await swappedTree();
  const read = new Set<string>();
  const sink = {
    has: () => false,
    add: async (content: Uint8Array) => void read.add(Buffer.from(content).toString().replace(/^\/.*/, "a link")),
    addLarge: async () => undefined,
  };
  const tracked = new TrackedPaths(async () => []);
  for (let i = 0; i < 1500; i++) {
    await scanTree({ root, limits: DEFAULT_TREE_LIMITS, known: new Map(), tracked, ignores: rulesOnDisk, sink });
  }
  expect([...read].sort()).toEqual(["a link", "inside"]);
});

test("links swapped in while a tree is written never lead the writing outside", async () => {
  const { root, outside, staging } = await swappedTree();
  const before = contents(outside);
  const ends = new Set<string>();
  for (let i = 0; i < 400; i++) {
    await using writer = await TreeWriter.open(root, staging);
    try {
      await writer.write("directory/file", "100644", blob("inside"));
      await writer.write("directory/deeper/file", "100644", blob("inside"));
      writer.remove("directory/file");
      writer.remove("directory/deeper/file");
      ends.add("written");
    } catch (error) {
      if (!(error instanceof ConcurrentChange)) throw error;
      ends.add("interfered");
    }
  }
  expect(contents(outside)).toEqual(before);
  expect(ends).toContain("written");
});

test("a restore in the middle of it all ends, and leaves what is outside as it was", async () => {
  const outside = await temporaryDirectory();
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, { "directory/file": "inside", "directory/more/file": "inside", "inner/file": "inside" });
  await sandbox.trees.snapshot(one, "s");
  await startSwapper(one.path, outside);
  const before = contents(outside);
  for (let i = 0; i < 10; i++) expect(["none", "busy"]).toContain(await reasonOf(() => sandbox.trees.restore(one, "s")));
  expect(contents(outside)).toEqual(before);
});

function blob(content: string): OutgoingBlob {
  return { size: content.length, content: Buffer.from(content) };
}
