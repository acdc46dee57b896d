import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { AddressRule } from "@serverless-harness/kit/address-rule";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { Clones } from "../../git/clones.ts";
import { Git } from "../../git/git.ts";
import { openRemote } from "../../git/remote.ts";
import { everywhere } from "../fixtures/trees.ts";
import { failureOf, git, repository, Sandbox } from "./sandbox.ts";

/** A repository whose commit has one entry of this name: a file, or a submodule. */
async function withEntry(name: string, mode = "100644 blob", object = "HEAD:a"): Promise<string> {
  const url = await repository({ a: "x" });
  const input = `${mode} ${git(url, "rev-parse", object)}\t${name}\n`;
  const tree = execFileSync("git", ["mktree"], { cwd: url, input, encoding: "utf8" }).trim();
  git(url, "update-ref", "refs/heads/main", git(url, "commit-tree", "-m", "made", tree));
  return url;
}

/** A tree that holds another one as often as the length of `names`, so many times below each other. */
async function bomb(depth: number, names: readonly string[]): Promise<string> {
  const url = await repository({ a: "x" });
  let tree = git(url, "rev-parse", "HEAD^{tree}");
  for (let level = 0; level < depth; level++) {
    const input = names.map((name) => `040000 tree ${tree}\t${name}\n`).join("");
    tree = execFileSync("git", ["mktree"], { cwd: url, input, encoding: "utf8" }).trim();
  }
  git(url, "update-ref", "refs/heads/main", git(url, "commit-tree", "-m", "made", tree));
  return url;
}

test("a tree that is too much is refused before anything of it is written, and the limit is named", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  const wide = await bomb(20, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
  const deep = await bomb(300, ["a"]);
  for (const [url, limit] of [
    [wide, "files"],
    [deep, "depth"],
  ] as const) {
    const failure = await failureOf(() => sandbox.trees.checkOut(one, one.path, { url, ref: "" }));
    expect(failure).toMatchObject({
      reason: "tree_too_large",
      metadata: { limit_name: limit },
      message: expect.stringContaining("another source"),
    });
    expect(readdirSync(one.path)).toEqual([]);
  }
  const small = await Sandbox.open({ limits: { treeBytes: 10, fileBytes: 5 } });
  const two = small.workspace();
  for (const [files, limit] of [
    [{ a: "1234", b: "1234", c: "1234" }, "treeBytes"],
    [{ a: "123456" }, "fileBytes"],
  ] as const) {
    const url = await repository(files);
    const failure = await failureOf(() => small.trees.checkOut(two, two.path, { url, ref: "" }));
    expect(failure?.metadata).toMatchObject({ limit_name: limit });
    expect(readdirSync(two.path)).toEqual([]);
  }
});

test("too many refs and too many bytes are refused, and leave no clone", async () => {
  const directory = join(await temporaryDirectory(), "clones");
  const url = await repository();
  for (let i = 0; i < 4; i++) git(url, "branch", `b${i}`);
  git(url, "tag", "-a", "-m", "x", "t");
  const open = (refs: number, bytes: number) => Clones.open({ git: new Git(), directory, local: everywhere, limits: { refs, bytes } });
  const reason = async (clones: Clones) => (await failureOf(() => clones.use({ url, ref: "" }, async () => undefined)))?.metadata;
  expect(await reason(await open(5, 1e9))).toEqual({ refs: "5" });
  expect(existsSync(directory) && readdirSync(directory).filter((name) => name.includes(".git"))).toEqual([]);
  expect(await reason(await open(6, 10))).toEqual({ bytes: "10" });
  expect(readdirSync(directory).filter((name) => name.includes(".git"))).toEqual([]);
  expect(await reason(await open(6, 1e9))).toBeUndefined();
});

test("a source that git can't check out is the caller's error, and says what is wrong with it", async () => {
  const sandbox = await Sandbox.open();
  for (const [url, problem] of [
    [await withEntry(".git"), '".git"'],
    [await withEntry(".."), '".."'],
    [await withEntry("git~1"), '"git~1"'],
    [await withEntry(".GIT", "160000 commit", "HEAD"), '".GIT"'],
  ] as const) {
    const one = sandbox.workspace();
    const failure = await failureOf(() => sandbox.trees.checkOut(one, one.path, { url, ref: "" }));
    expect(failure).toMatchObject({ reason: "source_faulty", message: expect.stringContaining(problem) });
  }
});

test("hosts inside are no sources unless they are allowed by name, and git connects to the address that was judged", async () => {
  const clones = await Clones.open({ git: new Git(), directory: join(await temporaryDirectory(), "clones") });
  for (const url of [
    "https://127.0.0.1:1/a.git",
    "https://localhost/a.git",
    "https://[::1]/a.git",
    "https://0x7f.1/a.git",
    "https://10.0.0.1/a.git",
    "https://169.254.169.254/latest.git",
    "ssh://git@192.168.0.1/a.git",
    "git@127.0.0.1:a.git",
  ]) {
    const failure = await failureOf(() => clones.use({ url, ref: "" }, async () => undefined));
    expect(failure?.reason, url).toBe("address_refused");
  }
  const addresses = new AddressRule({ names: new Set(["localhost"]), networks: [] }, "HANDS_PRIVATE_HOSTS");
  const access = { local: everywhere, addresses, proxied: false };
  using https = await openRemote({ url: "https://localhost:8443/a", protocol: "https" }, access);
  expect(https.settings.join()).toMatch(/followRedirects=false,http\.curloptResolve=localhost:8443:(?:\[::1\]|127\.0\.0\.1)/);
  using ssh = await openRemote({ url: "ssh://git@localhost:2222/a", protocol: "ssh" }, access);
  expect(ssh.settings.join()).toMatch(/-oHostName=(?:::1|127\.0\.0\.1) -oHostKeyAlias='\[localhost\]:2222'$/);
});
