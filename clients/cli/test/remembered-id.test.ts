import { mkdir, readFile, rename, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import { remembered } from "../stack/remembered-id.ts";

/** Two files, and what was computed of them. */
async function house() {
  const directory = await temporaryDirectory();
  const [one, two, memory] = [join(directory, "one"), join(directory, "two"), join(directory, "kept", "memory.json")];
  for (const file of [one, two]) await writeFile(file, "first");
  let computed = 0;
  const ask = (files: readonly string[] = [one, two], memoryFile = memory) => {
    const before = computed;
    const id = remembered(memoryFile, files, () => `id ${++computed}`);
    return { id, computed: computed > before };
  };
  return { directory, one, two, memory, ask };
}

describe("what was computed of files", () => {
  test("is remembered while they stay as they are", async () => {
    const { ask } = await house();
    expect([ask(), ask(), ask()]).toEqual([
      { id: "id 1", computed: true },
      { id: "id 1", computed: false },
      { id: "id 1", computed: false },
    ]);
  });

  test("is computed again after a write of the same size whose time was set back", async () => {
    const { one, ask } = await house();
    ask();
    const { atime, mtime } = await stat(one);
    await writeFile(one, "other");
    await utimes(one, atime, mtime);
    expect(ask()).toEqual({ id: "id 2", computed: true });
  });

  test("is computed again if a file is replaced, or one more or fewer is asked for", async () => {
    const { directory, one, two, ask } = await house();
    ask();
    await writeFile(join(directory, "new"), "first");
    await rename(join(directory, "new"), one);
    expect(ask().computed).toBe(true);
    expect(ask([one]).computed).toBe(true);
    expect(ask([one, two]).computed).toBe(true);
  });

  test("is computed again if the memory is damaged, which it then no longer is", async () => {
    const { memory, ask } = await house();
    ask();
    for (const text of ["", "{", "null", "[]", '{"stamp":1}']) {
      await writeFile(memory, text);
      expect(ask().computed, text).toBe(true);
      expect(ask().computed, text).toBe(false);
    }
    expect(JSON.parse(await readFile(memory, "utf8"))).toMatchObject({ id: expect.any(String) });
  });

  test("is computed each time if it can't be remembered", async () => {
    const { directory, one, two, ask } = await house();
    await mkdir(join(directory, "taken"));
    for (let i = 1; i <= 2; i++) expect(ask([one, two], join(directory, "taken"))).toEqual({ id: `id ${i}`, computed: true });
  });
});
