import { mkdir } from "node:fs/promises";
import { HandsClient } from "@serverless-harness/hands/client";
import { describe, expect, onTestFinished, test } from "vitest";
import { makeTree } from "../files/tree.ts";
import { byExec, byLocalFs, byRpc, makeFiles, statInBatch } from "../files/ways.ts";
import { startSandbox } from "../parts/sandbox.ts";

describe("the ways to work with files", () => {
  test("do the same, again and again, each on files of its own", async () => {
    const sandbox = await startSandbox(false);
    onTestFinished(() => sandbox.close());
    const client = new HandsClient({ address: sandbox.address });
    onTestFinished(() => client.close());
    const workspace = client.workspace("bench/files", 1n);
    await workspace.create();
    const directory = `${sandbox.workspaces}/bench/files`;
    await makeFiles(directory);
    await mkdir(`${directory}/tree`);
    await makeTree(`${directory}/tree`);
    for (const way of [byRpc(workspace), byExec(workspace), byLocalFs(directory)]) {
      for (let round = 1; round <= 2; round++) {
        for (const operation of [way.read, way.write, way.edit, way.stat, way.grep]) await operation();
      }
    }
    const texts = await Promise.all(["rpc", "exec", "local"].map((way) => workspace.read(`edit-${way}.txt`)));
    expect(new Set(texts.map((text) => Buffer.from(text).toString())).size).toBe(1);
    expect(await statInBatch(workspace, 3)).toBeGreaterThan(0);
  });
});
