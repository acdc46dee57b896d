import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { create } from "@bufbuild/protobuf";
import type { WorkspaceClient } from "@serverless-harness/hands/client";
import { generateKeys, TokenMint } from "@serverless-harness/kit/hands-token";
import { createLogger } from "@serverless-harness/kit/log";
import { createAuthority, temporaryDirectory } from "@serverless-harness/kit/testing";
import { bundleOf } from "@serverless-harness/kit/testing/services";
import { LeafSchema } from "@serverless-harness/proto/leaf";
import { expect, onTestFinished, test } from "vitest";
import { type ClaimedSandbox, Hands } from "../agents/hands.ts";
import { readConfig } from "../config.ts";

const SILENT = createLogger("test", "silent");

/** A sandbox behind mutual TLS, and the settings of a brain that may use it. */
async function start(): Promise<{ environment: Record<string, string>; mint: TokenMint }> {
  const directory = await temporaryDirectory();
  const authority = await createAuthority();
  const [server, client, keys] = [authority.issue("hands"), authority.issue("brain"), generateKeys()];
  const files = { ca: authority.ca, key: server.key, cert: server.cert, clientKey: client.key, clientCert: client.cert, ...keys };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  const path = (name: keyof typeof files): string => join(directory, name);
  const child = spawn(process.execPath, [bundleOf("hands")], {
    env: {
      PATH: process.env["PATH"] ?? "",
      HANDS_LISTEN: "127.0.0.1:0",
      HANDS_PUBLIC_KEY_FILE: path("publicKey"),
      HANDS_TLS_CERT_FILE: path("cert"),
      HANDS_TLS_KEY_FILE: path("key"),
      HANDS_TLS_CLIENT_CA_FILE: path("ca"),
      HANDS_WORKSPACES: join(directory, "workspaces"),
      HANDS_STATE: join(directory, "state"),
      HANDS_SANDBOX: "process",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await once(child, "close");
  });
  for await (const line of createInterface(child.stdout)) {
    const { msg, address } = JSON.parse(line) as { msg: string; address: string };
    if (msg !== "hands is up") continue;
    const environment = {
      LEAF_STORE: "sqlite:/nowhere",
      HANDS_URL: address,
      HANDS_TLS_CA_FILE: path("ca"),
      HANDS_TLS_CERT_FILE: path("clientCert"),
      HANDS_TLS_KEY_FILE: path("clientKey"),
    };
    return { environment, mint: new TokenMint(keys.privateKey) };
  }
  throw new Error("hands did not come up");
}

/** A claim that the sandbox believes: with the token for it that a file may hold. */
async function owner(
  environment: Readonly<Record<string, string>>,
  mint: TokenMint,
  epoch: bigint,
): Promise<{ sandbox: ClaimedSandbox; workspace: WorkspaceClient }> {
  const token = await mint.mint({ subject: "test", scopes: ["acme/one"], epoch, expiresAtMs: Date.now() + 60_000 });
  const hands = new Hands({ ...readConfig(environment), handsCredential: { kind: "token", token } }, SILENT);
  const fence = { tenant: "acme", sessionId: "one", epoch };
  const sandbox = await hands.open({ leaf: create(LeafSchema, { leafId: "leaf" }), fence, takeover: false });
  onTestFinished(() => sandbox.close());
  return { sandbox, workspace: sandbox.client.workspace("acme/one", epoch) };
}

test("a brain reaches hands by mutual TLS, and the token of an older owner is void once it has", async () => {
  const { environment, mint } = await start();
  const [older, newer] = [await owner(environment, mint, 1n), await owner(environment, mint, 2n)];
  await older.workspace.create();
  expect(await older.workspace.list(".")).toEqual([]);
  await newer.workspace.list(".");
  // A list carries no epoch of its own: it is the token that is refused.
  await expect(older.workspace.list(".")).rejects.toMatchObject({ reason: "stale_epoch" });
  await newer.sandbox.endExec("nobody");
  await expect(older.sandbox.endExec("nobody")).rejects.toMatchObject({ reason: "stale_epoch" });
});
