import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createLogger } from "@serverless-harness/kit/log";
import { createAuthority, temporaryDirectory } from "@serverless-harness/kit/testing";
import { bundleOf } from "@serverless-harness/kit/testing/services";
import { generateKeys } from "@serverless-harness/kit/token";
import { FailureReason } from "@serverless-harness/proto/leaf";
import { expect, onTestFinished, test } from "vitest";
import { Hands } from "../agents/hands.ts";
import { readConfig } from "../config.ts";
import { failureOf } from "../leaf/failures.ts";

const SILENT = createLogger("test", "silent");

/** A sandbox behind mutual TLS, and the settings of a brain that may use it. */
async function start(): Promise<Record<string, string>> {
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
    return {
      LEAF_STORE: "sqlite:/nowhere",
      HANDS_URL: address,
      HANDS_PRIVATE_KEY_FILE: path("privateKey"),
      HANDS_TLS_CA_FILE: path("ca"),
      HANDS_TLS_CERT_FILE: path("clientCert"),
      HANDS_TLS_KEY_FILE: path("clientKey"),
    };
  }
  throw new Error("hands did not come up");
}

test("a brain reaches hands by mutual TLS, and the token of an older owner is void once it has", async () => {
  const hands = new Hands(readConfig(await start()), SILENT);
  const owner = (epoch: bigint) => {
    const client = hands.connect("acme/one", epoch);
    onTestFinished(() => client.close());
    return client.workspace("acme/one", epoch);
  };
  const older = owner(1n);
  await older.create();
  expect(await older.list(".")).toEqual([]);
  await owner(2n).list(".");
  // A list carries no epoch of its own: it is the token that is refused.
  await expect(older.list(".")).rejects.toMatchObject({ reason: "stale_epoch" });
  await hands.endExec("acme/one", 2n, "nobody");
  await expect(hands.endExec("acme/one", 1n, "nobody")).rejects.toMatchObject({ reason: "stale_epoch" });
});

test("a brain whose clock is an hour slow makes its tokens by the clock of hands, for the workspace and for a command that it ends", async () => {
  const config = readConfig(await start());
  const slow = (): number => Date.now() - 3_600_000;
  const hands = new Hands(config, SILENT, slow);
  const client = hands.connect("acme/one", 1n);
  onTestFinished(() => client.close());
  const workspace = client.workspace("acme/one", 1n);
  await workspace.create();
  const exec = workspace.exec({ execId: "one", command: { shell: "echo here" } }, () => undefined);
  expect((await exec.ended).exitCode).toBe(0);
  await new Hands(config, SILENT, slow).endExec("acme/one", 1n, "nobody");
});

test("a clock that is wrong by more than a day is not believed: the failure says what is wrong, and that it may pass", async () => {
  const hands = new Hands(readConfig(await start()), SILENT, () => Date.now() - 2 * 24 * 3_600_000);
  const client = hands.connect("acme/one", 1n);
  onTestFinished(() => client.close());
  const error: unknown = await client
    .workspace("acme/one", 1n)
    .create()
    .catch((thrown: unknown) => thrown);
  expect(failureOf(error)).toMatchObject({
    reason: FailureReason.SANDBOX_UNAVAILABLE,
    retryable: true,
    message: expect.stringContaining("clock"),
  });
});
