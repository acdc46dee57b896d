import { mkdir, readdir, readFile, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { GateSchema, LeafFilesSchema, LeafResultSchema, LeafState } from "@serverless-harness/proto/leaf";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { Child } from "@serverless-harness/session/testing/child";
import { describe, expect, onTestFinished, test } from "vitest";
import { endWords } from "../../volume/contents.ts";
import { FilesWriter } from "../../volume/files-writer.ts";
import { Volume } from "../../volume/volume.ts";
import { storeUrls } from "../schedules/world.ts";
import { claimed, newLeaf, SILENT } from "../support.ts";

const MORTAL = new URL("../fixtures/mortal-files-writer.ts", import.meta.url);
const urls = storeUrls();

interface Stage {
  /** Bring a leaf to where it has files to show. */
  readonly reach: (store: LeafStore) => Promise<void>;
  /** The names of those files, in the order in which they are written. */
  readonly files: readonly string[];
}

const STAGES: Readonly<Record<string, Stage>> = {
  "asks a human": {
    reach: async (store) => {
      const claim = await claimed(store);
      await store.openGate(claim, create(GateSchema, { gateId: "g", tool: "bash", summary: "May I?", proposedAction: "rm" }));
      await store.suspend(claim, { gateIds: ["g"] }, "asks", []);
    },
    files: ["r.gate"],
  },
  "is over": {
    reach: async (store) =>
      store.finish(await claimed(store), { state: LeafState.DONE, result: create(LeafResultSchema, { text: "the result" }) }, []),
    files: ["r", "r.status"],
  },
};

describe.each(["SQLite", "Redis"] as const)("on %s", (kind) => {
  test.each(Object.entries(STAGES))(
    "a dispatcher killed at any of its durable steps while a leaf %s leaves the files to the next one, each written once",
    async (_what, { reach, files }) => {
      let steps = 0;
      for (let alive = false; !alive; steps += 1) {
        const url = await urls[kind]();
        const store = await openLeafStore(url);
        onTestFinished(() => store.close());
        const root = join(await realpath(await temporaryDirectory()), "volume");
        await mkdir(root);
        await store.submit(newLeaf({ files: create(LeafFilesSchema, { resultRef: join(root, "r") }) }));
        await reach(store);
        const dispatcher = new Child(MORTAL, url, root, String(steps));
        await dispatcher.ended;
        alive = dispatcher.lines.includes("done");
        expect(dispatcher.process.signalCode).toBe(alive ? null : "SIGKILL");
        const left = await written(root);
        // The result is there before the marker.
        expect([...left.keys()].sort()).toEqual(files.slice(0, left.size).toSorted());
        const heir = new FilesWriter({ store, volume: new Volume(root, root), words: endWords, dutyMs: 1, log: SILENT });
        heir.start();
        while ((await store.filesDue(1)).length > 0) await new Promise(setImmediate);
        await heir.stop();
        const all = await written(root);
        expect([...all.keys()].sort()).toEqual(files.toSorted());
        for (const [name, file] of left) expect(all.get(name)).toEqual(file);
      }
      // Each file, that all are written, and the duty before and after: a step before and one after each, and a run that nobody kills.
      expect(steps).toBe(2 * (files.length + 3) + 1);
    },
  );
});

/** The files in a directory, with what tells that one was written again. */
async function written(root: string): Promise<Map<string, { ino: bigint; mtimeNs: bigint; text: string }>> {
  const names = await readdir(root);
  const files = names.map(async (name) => {
    const path = join(root, name);
    const { ino, mtimeNs } = await stat(path, { bigint: true });
    return [name, { ino, mtimeNs, text: await readFile(path, "utf8") }] as const;
  });
  return new Map(await Promise.all(files));
}
