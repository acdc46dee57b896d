import { expect, test } from "vitest";
import { commit, contents, git, repository, Sandbox, write } from "./sandbox.ts";

const TREE = {
  "README.md": "hello\n",
  "run.sh": { mode: 0o755, text: "#!/bin/sh\n" },
  "deep/er/file": "deep\n",
  link: { link: "deep/er" },
  dangling: { link: "/no/where" },
  binary: Buffer.from([0, 1, 2, 255, 0]),
  empty: "",
};

test("a snapshot restored in another sandbox gives the same tree: contents, modes and links", async () => {
  const here = await Sandbox.open();
  const one = here.workspace();
  write(one.path, TREE);
  const { snapshot, replayed } = await here.trees.snapshot(one, "first");
  expect(replayed).toBe(false);
  const there = await Sandbox.open({ artifactDirectory: here.artifactDirectory });
  const other = there.workspace();
  const restored = await there.trees.restore(other, "first");
  expect(restored).toEqual({ snapshot, changedFiles: 7 });
  expect(contents(other.path)).toEqual(contents(one.path));
  expect(await there.trees.origin(other)).toEqual({ baseCommit: "", restoredSnapshotId: "first" });
  expect((await there.trees.snapshot(other, "second")).snapshot.tree).toBe(snapshot.tree);
});

test("git checkouts diff, snapshot and restore", async () => {
  const url = await repository({ ...TREE, ".gitignore": "*.log\n", "kept.log": "x" });
  git(url, "add", "-f", "kept.log");
  const head = commit(url);
  const here = await Sandbox.open();
  const one = await here.checkedOut(url);
  expect(await here.trees.origin(one)).toEqual({ baseCommit: head, restoredSnapshotId: "" });
  expect(git(one.path, "status", "--porcelain")).toBe("");
  expect(git(one.path, "rev-parse", "HEAD")).toBe(head);
  expect((await here.diff(one)).bytes).toBe(0);
  write(one.path, { "README.md": "changed\n", "new.log": "ignored", "kept.log": "changed" });
  const { patch, files } = await here.diff(one);
  expect(files).toBe(2);
  console.log(patch.toString());
});
