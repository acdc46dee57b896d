import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { removeTree } from "../../fs/remove-tree.ts";
import { makeDeep } from "../fixtures/deep-tree.ts";

test("a tree goes whose paths are longer than any that the kernel takes", async () => {
  const tree = join(await temporaryDirectory(), "tree");
  await mkdir(tree);
  makeDeep(tree, 3000);
  await removeTree(tree);
  expect(existsSync(tree)).toBe(false);
});

test("names that are no UTF-8 and directories that may not be written go, and what links lead to stays", async () => {
  const base = await temporaryDirectory();
  const tree = join(base, "tree");
  await mkdir(join(tree, "closed", "inner"), { recursive: true });
  await writeFile(join(tree, "closed", "inner", "file"), "");
  execFileSync("sh", ["-c", "mkdir $(printf 'n\\377'); touch $(printf 'n\\377/f\\376')"], { cwd: tree });
  await mkdir(join(base, "elsewhere"));
  await writeFile(join(base, "elsewhere", "kept"), "kept");
  await symlink("../elsewhere", join(tree, "link"));
  for (const name of ["closed/inner", "closed"]) await chmod(join(tree, name), 0o500);
  await removeTree(tree);
  expect(existsSync(tree)).toBe(false);
  expect(await readFile(join(base, "elsewhere", "kept"), "utf8")).toBe("kept");
});

test("a file, a link and what is not there are removed as well", async () => {
  const base = await temporaryDirectory();
  await writeFile(join(base, "file"), "");
  await symlink("file", join(base, "link"));
  for (const name of ["link", "none"]) await removeTree(join(base, name));
  expect(existsSync(join(base, "file"))).toBe(true);
  await removeTree(join(base, "file"));
  expect(existsSync(join(base, "file"))).toBe(false);
});
