import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { HarnessError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import type { ArtifactStore } from "../../artifacts/artifact-store.ts";
import { DirectoryArtifacts } from "../../artifacts/directory.ts";
import { s3Artifacts, startS3 } from "./s3-server.ts";

const DRIVERS: Record<string, () => Promise<ArtifactStore>> = {
  directory: async () => new DirectoryArtifacts(join(await temporaryDirectory(), "not", "made", "yet")),
  S3: async () => s3Artifacts((await startS3()).endpoint),
};

async function read(store: ArtifactStore, key: string): Promise<Buffer | undefined> {
  const stream = await store.get(key);
  return stream === undefined ? undefined : buffer(stream);
}

async function fileOf(content: Uint8Array): Promise<{ file: string }> {
  const file = join(await temporaryDirectory(), "content");
  await writeFile(file, content);
  return { file };
}

describe.each(Object.entries(DRIVERS))("an artifact store on %s", (_name, open) => {
  test("gives back what was put, from bytes and from a file, byte by byte", async () => {
    const store = await open();
    const content = randomBytes(3 * 1024 * 1024 + 7);
    await store.put("acme/one/bytes", { bytes: content });
    await store.put("acme/one/file", await fileOf(content));
    expect((await read(store, "acme/one/bytes"))?.equals(content)).toBe(true);
    expect((await read(store, "acme/one/file"))?.equals(content)).toBe(true);
  });

  test("keeps an empty artifact apart from none", async () => {
    const store = await open();
    await store.put("empty", { bytes: new Uint8Array() });
    await store.put("empty-file", await fileOf(new Uint8Array()));
    expect((await read(store, "empty"))?.length).toBe(0);
    expect((await read(store, "empty-file"))?.length).toBe(0);
    expect([await store.has("empty"), await store.has("none"), await store.get("none")]).toEqual([true, false, undefined]);
  });

  test("replaces an artifact", async () => {
    const store = await open();
    await store.put("key", { bytes: Buffer.from("the old one") });
    await store.put("key", { bytes: Buffer.from("new") });
    expect((await read(store, "key"))?.toString()).toBe("new");
  });

  test("deletes, also what is not there", async () => {
    const store = await open();
    await store.put("acme/one/key", { bytes: Buffer.from("x") });
    await store.delete("acme/one/key");
    await store.delete("acme/one/key");
    await store.delete("never/was");
    expect(await store.has("acme/one/key")).toBe(false);
  });

  test("deletes all that lies below a prefix, and nothing beside it", async () => {
    const store = await open();
    const keys = Array.from({ length: 40 }, (_, i) => `acme/one/${i}`);
    for (const key of [...keys, "acme/one.x", "acme/two/0", "acme/one2/0"]) await store.put(key, { bytes: Buffer.from("x") });
    for (let i = 0; i < 2; i++) await store.deleteBelow("acme/one");
    await store.deleteBelow("never/was");
    for (const key of keys) expect(await store.has(key)).toBe(false);
    for (const key of ["acme/one.x", "acme/two/0", "acme/one2/0"]) expect(await store.has(key)).toBe(true);
    await expect(store.deleteBelow("acme/..")).rejects.toThrow(HarnessError);
  });

  test("refuses keys that could lead elsewhere, before anything happens", async () => {
    const store = await open();
    const bad = [
      "",
      "/",
      "/etc/passwd",
      "a//b",
      "a/",
      "..",
      "a/../b",
      "a/..",
      ".",
      "./a",
      "a b",
      "a\0b",
      "a\\b",
      "ä",
      "x".repeat(300),
      `${"a/".repeat(400)}a`,
    ];
    for (const key of bad) {
      const calls = [
        () => store.put(key, { bytes: Buffer.from("x") }),
        () => store.get(key),
        () => store.has(key),
        () => store.delete(key),
      ];
      for (const call of calls) await expect((async () => call())(), key).rejects.toThrow(HarnessError);
    }
  });

  test("takes keys with every character that ids have", async () => {
    const store = await open();
    for (const key of ["acme/one/A-z_0.9:x.json", "...", ".hidden/..x", "-dash/--"]) {
      await store.put(key, { bytes: Buffer.from(key) });
      expect((await read(store, key))?.toString()).toBe(key);
    }
  });
});
