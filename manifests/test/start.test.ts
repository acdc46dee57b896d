import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { V1Container } from "@kubernetes/client-node";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { openLeafStore } from "@serverless-harness/session";
import { freePort } from "@serverless-harness/session/testing/redis";
import { Redis } from "ioredis";
import { expect, onTestFinished, test } from "vitest";
import { readConfig as readBrain } from "../../brain/config.ts";
import { readConfig as readDispatcher } from "../../dispatcher/config.ts";
import { readConfig as readHands } from "../../hands/config.ts";
import { Names } from "../../session/redis/names.ts";
import { makeSecrets, OVERLAYS, podTemplates } from "./fixtures/render.ts";

const NAMES = new Names("harness", 16);
/** A key of each form that the store has, but for those that say whose store it is. */
const KEYS = [
  NAMES.idempotency("x"),
  NAMES.duty("x"),
  ...[NAMES.base(3), NAMES.index, NAMES.schedules, NAMES.tokens, NAMES.sandboxes].map((base) => `${base}:x`),
];
const CHANNELS = [NAMES.workChannel, NAMES.idleChannel, NAMES.noticeChannel, NAMES.wishChannel("x"), NAMES.leafChannel("x")];

/** A container of an overlay as its process finds it here: each secret that it mounts is a directory of files. */
async function container(overlay: string, owner: string) {
  const secrets = await makeSecrets();
  const root = await temporaryDirectory();
  const [, template] = (await podTemplates(overlay)).find(([name]) => name === owner) ?? [];
  const pod = template?.spec;
  const [main] = pod?.containers ?? [];
  if (pod === undefined || main === undefined) throw new Error(`${overlay} has no ${owner}`);
  for (const { name, mountPath } of main.volumeMounts ?? []) {
    const directory = join(root, mountPath);
    await mkdir(directory, { recursive: true });
    const secret = pod.volumes?.find((volume) => volume.name === name)?.secret?.secretName;
    for (const [file, text] of Object.entries(secrets[secret ?? ""] ?? {})) await writeFile(join(directory, file), text, { mode: 0o640 });
  }
  const here = (text: string): string => text.replaceAll(/\/(?:etc\/leaf|var\/lib|data)\b/g, (path) => join(root, path));
  return { main, secrets, here, environment: environmentOf(main, secrets, here) };
}

function environmentOf(
  { env = [], envFrom = [] }: V1Container,
  secrets: Record<string, Record<string, string>>,
  here: (text: string) => string,
): Record<string, string> {
  const own = env.map(({ name, value, valueFrom }) => {
    const { name: secret = "", key = "" } = valueFrom?.secretKeyRef ?? {};
    return [name, here(value ?? secrets[secret]?.[key] ?? "a-pod")];
  });
  return { ...Object.assign({}, ...envFrom.map(({ secretRef }) => secrets[secretRef?.name ?? ""])), ...Object.fromEntries(own) };
}

test.each(OVERLAYS)("the services take the settings that overlay %s gives them", async (overlay) => {
  const dispatcher = readDispatcher((await container(overlay, "dispatcher")).environment);
  expect(dispatcher.pool?.whereabouts.kind).toBe("dns");
  const isKeda = overlay === "keda";
  expect(dispatcher.waker).toBe(isKeda ? "keda" : "knative");
  // Only an autoscaler with a certificate gets in.
  expect(dispatcher.scaler?.tls?.clientCa !== undefined).toBe(isKeda);
  const sandbox = readHands((await container(overlay, "sandbox")).environment);
  expect(sandbox).toMatchObject({ sandbox: "process" });
  const brain = readBrain((await container(overlay, "brain")).environment);
  if (isKeda) expect(brain.listen).toBeUndefined();
  else expect(brain.listen).toMatchObject({ kind: "tcp", port: 7437 });
});

test("the Redis that is installed takes the store of either user by mutual TLS, keeps what it acknowledged, and lets nobody rule it", async () => {
  const { main, secrets, here } = await container("plain", "redis");
  const port = await freePort();
  const args = [...(main.args ?? []).map(here), "--tls-port", String(port), "--bind", "127.0.0.1"];
  const start = async () => {
    const child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    let said = "";
    for await (const chunk of child.stdout) {
      said += String(chunk);
      if (said.includes("Ready to accept connections")) return child;
    }
    throw new Error(`redis-server ended: ${said}`);
  };
  const first = await start();
  const url = (user: string): string => {
    return here(secrets[user]?.["store-url"] ?? "").replace("@redis.serverless-harness.svc:6379", `@localhost:${port}`);
  };
  const connect = (user: string): Redis => {
    const { "ca.crt": ca = "", "tls.crt": cert = "", "tls.key": key = "" } = secrets["redis-tls"] ?? {};
    const { password } = new URL(url(user));
    const redis = new Redis({ host: "localhost", port, username: user, password, tls: { ca, cert, key }, retryStrategy: () => null });
    onTestFinished(() => redis.disconnect());
    return redis.on("error", () => undefined);
  };
  for (const user of ["dispatcher", "brain"]) {
    const store = await openLeafStore(url(user));
    expect((await store.sandboxes.list()).sandboxes).toEqual([]);
    await store.close();
    const redis = connect(user);
    for (const [command = "", ...words] of [["FLUSHALL"], ["CONFIG", "GET", "dir"], ["SHUTDOWN"], ["ACL", "LIST"], ["KEYS", "*"]])
      await expect(redis.call(command, ...words)).rejects.toThrow("NOPERM");
    await expect(redis.set("other", "x")).rejects.toThrow("NOPERM");
    for (const key of KEYS) await redis.set(key, "x");
    for (const channel of CHANNELS) await redis.publish(channel, "x");
    await redis.set(`{harness:0}:kept-${user}`, "x");
    for (const key of KEYS) await redis.del(key);
  }
  const ended = once(first, "exit");
  first.kill("SIGKILL");
  await ended;
  await start();
  for (const user of ["dispatcher", "brain"]) expect(await connect(user).get(`{harness:0}:kept-${user}`)).toBe("x");
});
