import { mkdir, readdir, readFile, realpath, rename, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import { Volume } from "../../volume/volume.ts";

/** A volume, and a directory beside it that nothing may get into. */
async function open() {
  const base = await realpath(await temporaryDirectory());
  const [root, outside] = [join(base, "volume"), join(base, "outside")];
  await mkdir(root);
  await mkdir(outside);
  await writeFile(join(outside, "canary"), "untouched");
  return { root, outside, volume: new Volume(root, root), untouched: () => readFile(join(outside, "canary"), "utf8") };
}

const reasonOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => "done",
    (error: unknown) => (error instanceof HarnessError ? error.reason : error),
  );

describe("a file on the volume", () => {
  test("is written as a whole, with the directories above it, and read again", async () => {
    const { root, volume } = await open();
    await volume.write(`${root}/a/b/result.json`, "one");
    await volume.write(`${root}/a/b/result.json`, "two");
    expect((await volume.read(`${root}/a/b/result.json`, 100))?.toString()).toBe("two");
    expect(await readdir(join(root, "a/b"))).toEqual(["result.json"]);
  });

  test("that holds the same already stays the file that it is", async () => {
    const { root, volume } = await open();
    await volume.write(`${root}/result`, "one");
    const { ino, mtimeNs } = await stat(join(root, "result"), { bigint: true });
    await volume.write(`${root}/result`, "one");
    expect(await stat(join(root, "result"), { bigint: true })).toMatchObject({ ino, mtimeNs });
  });

  test("may be reached by a link inside of the volume, and keeps it", async () => {
    const { root, volume } = await open();
    await mkdir(join(root, "real"));
    await symlink("real", join(root, "link"));
    await volume.write(`${root}/link/result`, "one");
    expect(await readFile(join(root, "real/result"), "utf8")).toBe("one");
  });

  test("is none if it is not there, and too large beyond what was asked for", async () => {
    const { root, volume } = await open();
    expect(await volume.read(`${root}/nothing`, 10)).toBeUndefined();
    await volume.write(`${root}/long`, "x".repeat(11));
    expect(await reasonOf(volume.read(`${root}/long`, 10))).toBe("file_too_large");
    expect(await reasonOf(volume.read(`${root}`, 10))).toBe("path_outside");
    await mkdir(join(root, "directory"));
    expect(await reasonOf(volume.read(`${root}/directory`, 10))).toBe("is_directory");
    expect(await reasonOf(volume.write(`${root}/directory`, "x"))).toBe("is_directory");
  });

  test("is not looked for outside of the volume, whatever the path says", async () => {
    const { root, outside, volume, untouched } = await open();
    await symlink(outside, join(root, "out"));
    await symlink(join(outside, "canary"), join(root, "file"));
    await symlink("../outside", join(root, "up"));
    await symlink("out", join(root, "through"));
    const paths = [
      "relative",
      "",
      "/etc/passwd",
      `${root}/../outside/canary`,
      `${root}/a/../../outside/canary`,
      `${root}extra/canary`,
      `${root}/out/canary`,
      `${root}/out/new`,
      `${root}/file`,
      `${root}/up/canary`,
      `${root}/through/canary`,
      `${root}/nul\0/x`,
      `${root}/`,
    ];
    for (const path of paths) {
      expect([path, await reasonOf(volume.read(path, 100))]).toEqual([path, "path_outside"]);
      expect([path, await reasonOf(volume.write(path, "hacked"))]).toEqual([path, "path_outside"]);
      expect(() => volume.require(path)).toThrow(HarnessError);
    }
    expect(await untouched()).toBe("untouched");
    expect(await readdir(outside)).toEqual(["canary"]);
  });

  test("does not get out while directories are swapped for links under way", async () => {
    const { root, outside, volume, untouched } = await open();
    await mkdir(join(root, "d"));
    await symlink(outside, join(root, "evil"));
    let swapping = true;
    // The volume makes directories that are missing, so that some of these find another one in their way.
    const swap = (from: string, to: string): Promise<unknown> => rename(join(root, from), join(root, to)).catch((error: unknown) => error);
    const swapper = (async () => {
      while (swapping) {
        await swap("d", "aside");
        await swap("evil", "d");
        await swap("d", "evil");
        await swap("aside", "d");
      }
    })();
    for (let i = 0; i < 300; i++)
      await volume.write(`${root}/d/canary`, `try ${i}`).catch((error: unknown) => expect(error).toBeInstanceOf(Error));
    swapping = false;
    await swapper;
    expect(await untouched()).toBe("untouched");
    expect(await readdir(outside)).toEqual(["canary"]);
  });
});
