import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import { readConfig } from "../config.ts";

async function tokenFile(text: string): Promise<string> {
  const file = join(await temporaryDirectory(), "token");
  await writeFile(file, text);
  return file;
}

const STORE = { LEAF_STORE: "sqlite:/var/lib/harness/leaf.db" };

describe("settings", () => {
  test("need only the store and a token on loopback", async () => {
    const config = readConfig({ ...STORE, DISPATCHER_TOKEN_FILE: await tokenFile("secret\n") });
    expect(config).toMatchObject({ listen: { kind: "tcp", host: "127.0.0.1", port: 7433 }, token: "secret", waker: "local" });
    expect(config.brainLog).toEqual({ path: undefined, maxBytes: 10_000_000 });
    expect(config.brainCommand[0]).toBe(process.execPath);
    expect(config.brainCommand.at(-1)).toMatch(/brain\/main\.ts$/);
  });

  test("need no token on a Unix socket", () => {
    const config = readConfig({ ...STORE, DISPATCHER_LISTEN: "unix:/run/dispatcher.sock" });
    expect(config).toMatchObject({ listen: { kind: "unix", path: "/run/dispatcher.sock" }, token: undefined });
  });

  test.each([
    ["http://0.0.0.0:7433", "other machines"],
    ["http://[::]:7433", "other machines"],
    ["http://10.1.2.3:80", "other machines"],
    ["http://127.0.0.1:7433", "every user of this machine"],
  ])("are refused where %s would be open to %s", (listen, who) => {
    expect(() => readConfig({ ...STORE, DISPATCHER_LISTEN: listen })).toThrow(`can be reached by ${who}`);
  });

  test("are refused all at once, each problem with its variable", () => {
    const bad = { DISPATCHER_LISTEN: "ftp://x", DISPATCHER_WAKER: "magic", DISPATCHER_BRAIN_COMMAND: "node x", LOG_LEVEL: "loud" };
    for (const name of ["LEAF_STORE", ...Object.keys(bad)]) expect(() => readConfig(bad)).toThrow(name);
  });

  test.each(["", " \n", "two words"])("are refused where the token file holds %j", async (text) => {
    const file = await tokenFile(text);
    expect(() => readConfig({ ...STORE, DISPATCHER_TOKEN_FILE: file })).toThrow("must hold one word");
  });

  test("tell a token file that is not there, and never what is in one", async () => {
    expect(() => readConfig({ ...STORE, DISPATCHER_TOKEN_FILE: "/nowhere/token" })).toThrow("ENOENT");
    const file = await tokenFile("hush hush");
    await chmod(file, 0o600);
    expect(() => readConfig({ ...STORE, DISPATCHER_TOKEN_FILE: file })).not.toThrow("hush");
  });

  test.each(["[]", '[""]', "{}", "[1]", '"node"'])("are refused where the brain's command is %s", (command) => {
    const env = { ...STORE, DISPATCHER_LISTEN: "unix:/x", DISPATCHER_BRAIN_COMMAND: command };
    expect(() => readConfig(env)).toThrow("JSON list of a program and its arguments");
  });

  const UNIX = { ...STORE, DISPATCHER_LISTEN: "unix:/x" };

  test("name the brain's service for knative, with bounds that have defaults", () => {
    const env = { ...UNIX, DISPATCHER_WAKER: "knative", DISPATCHER_KNATIVE_URL: "http://brain.harness.svc/" };
    const knative = { url: "http://brain.harness.svc", maxWakes: 1, leavesPerBrain: 50, timeoutMs: 600_000 };
    expect(readConfig(env)).toMatchObject({ waker: "knative", knative, scaler: undefined });
  });

  test.each([
    ["knative", {}, "DISPATCHER_KNATIVE_URL is not set"],
    ["knative", { DISPATCHER_KNATIVE_URL: "brain:80" }, "it must be http://host or https://host"],
    ["knative", { DISPATCHER_KNATIVE_URL: "http://user:word@brain" }, "without user and query"],
    ["knative", { DISPATCHER_KNATIVE_URL: "http://brain", DISPATCHER_KNATIVE_WAKES: "0" }, "DISPATCHER_KNATIVE_WAKES"],
    ["keda", {}, "DISPATCHER_SCALER_LISTEN is not set: DISPATCHER_WAKER=keda needs it"],
    ["keda", { DISPATCHER_SCALER_LISTEN: "unix:/x" }, "it must be host:port"],
    ["none", { DISPATCHER_SCALER_TLS_KEY_FILE: "/k" }, "DISPATCHER_SCALER_TLS_KEY_FILE needs DISPATCHER_SCALER_LISTEN"],
    [
      "keda",
      { DISPATCHER_SCALER_LISTEN: "0.0.0.0:7434", DISPATCHER_SCALER_TLS_CERT_FILE: "/c" },
      "DISPATCHER_SCALER_TLS_KEY_FILE is not set",
    ],
  ])("are refused for the waker %s with %j", (waker, env, text) => {
    expect(() => readConfig({ ...UNIX, DISPATCHER_WAKER: waker, ...env })).toThrow(text);
  });

  test("hand the whole environment to brains", () => {
    const env = { ...STORE, DISPATCHER_LISTEN: "unix:/x", DISPATCHER_BRAIN_COMMAND: '["/bin/brain","--fast"]', ANY_PROVIDER_KEY: "k" };
    expect(readConfig(env)).toMatchObject({ brainCommand: ["/bin/brain", "--fast"], brainEnvironment: env });
  });
});
