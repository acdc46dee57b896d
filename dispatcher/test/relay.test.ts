import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { Code, createClient } from "@connectrpc/connect";
import { HandsClient } from "@serverless-harness/hands/client";
import type { Address } from "@serverless-harness/kit/address";
import type { Claims } from "@serverless-harness/kit/hands-claims";
import { generateKeys, TokenMint } from "@serverless-harness/kit/hands-token";
import { createSigningKeys } from "@serverless-harness/kit/signing-keys";
import { createAuthority } from "@serverless-harness/kit/testing";
import { bundleOf, COMPILED } from "@serverless-harness/kit/testing/services";
import { createTransport } from "@serverless-harness/kit/transport";
import { LeafService, LeafState, SandboxService, TokenService } from "@serverless-harness/proto/leaf";
import { freePort } from "@serverless-harness/session/testing/redis";
import { expect, onTestFinished, test, vi } from "vitest";
import { launch } from "./process.ts";
import { AUTHORIZED, allEvents, newStore, TOKEN } from "./support.ts";

/** Where slirp4netns, a user-mode router with NAT, shows this machine to a network namespace. */
const MACHINE = "10.0.2.2";

/** A dispatcher that relays, over TLS. `env`: more settings. */
async function relaying(env: Readonly<Record<string, string>> = {}) {
  const opened = await newStore();
  const authority = await createAuthority();
  const tls = authority.issue("dispatcher", `DNS:localhost,IP:127.0.0.1,IP:${MACHINE}`);
  const keys = generateKeys();
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(opened.directory, name), text, { mode: 0o600 });
    return join(opened.directory, name);
  };
  const port = await freePort();
  const ca = await file("ca.pem", authority.ca);
  const settings = {
    LEAF_STORE: opened.url,
    DISPATCHER_LISTEN: `https://127.0.0.1:${port}`,
    DISPATCHER_ALLOWED_HOSTS: MACHINE,
    DISPATCHER_TLS_CERT_FILE: await file("tls.pem", tls.cert),
    DISPATCHER_TLS_KEY_FILE: await file("tls.key", tls.key),
    DISPATCHER_TOKEN_FILE: await file("operator.token", TOKEN),
    DISPATCHER_SIGNING_KEYS_FILE: await file("keys.json", await createSigningKeys()),
    DISPATCHER_AUDIT_FILE: join(opened.directory, "audit.log"),
    HANDS_PRIVATE_KEY_FILE: await file("hands-private.pem", keys.privateKey),
    BRAIN_TOKEN_FILE: await file("brain.token", "a-word-of-brains"),
    BRAIN_TLS_CA_FILE: ca,
    HANDS_URL: `https://127.0.0.1:${port}/v1/sandboxes/laptop/rpc`,
    HANDS_TLS_CA_FILE: ca,
    ...env,
  };
  const start = async (more: Readonly<Record<string, string>> = {}): Promise<ChildProcess> => {
    const { child, line } = launch({ ...settings, ...more });
    await line("dispatcher listens");
    return child;
  };
  /** Another dispatcher of the same system; its port. */
  const startOther = async (): Promise<number> => {
    const other = await freePort();
    await start({ DISPATCHER_LISTEN: `https://127.0.0.1:${other}`, DISPATCHER_AUDIT_FILE: join(opened.directory, "other.log") });
    return other;
  };
  let dispatcher = await start();
  const kill = (): Promise<void> => ended(dispatcher);
  const restart = async (): Promise<void> => {
    await kill();
    dispatcher = await start();
  };
  const address: Address = { kind: "tcp", host: "127.0.0.1", port, tls: true };
  const transport = createTransport({ address, token: TOKEN, tls: { ca: authority.ca } });
  onTestFinished(() => transport.close());
  const tokens = createClient(TokenService, transport);
  /** Hands as a process that dials in as `name`, at each of these ports. `inside`: the command that it is started by, if not directly. */
  const sandbox = async (name: string, { token = "", inside = [] as readonly string[], at = "127.0.0.1", ports = [port] } = {}) => {
    const directory = join(opened.directory, `sandbox-${name}-${Math.random()}`);
    for (const part of ["", "workspaces", "state"]) await mkdir(join(directory, part));
    const secret = token || (await tokens.create({ subject: name, scopes: ["sandboxes:serve"] })).secret;
    const [program = process.execPath, ...args] = [...inside, process.execPath, bundleOf("hands")];
    const child = spawn(program, args, {
      env: {
        PATH: process.env["PATH"],
        ...COMPILED,
        HANDS_LISTEN: `unix:${join(directory, "hands.sock")}`,
        HANDS_WORKSPACES: join(directory, "workspaces"),
        HANDS_STATE: join(directory, "state"),
        HANDS_SANDBOX: "process",
        HANDS_PUBLIC_KEY_FILE: await file("hands-public.pem", keys.publicKey),
        HANDS_RELAY_URL: ports.map((each) => `https://${at}:${each}/v1/sandboxes/${name}/attach`).join(","),
        HANDS_RELAY_TOKEN_FILE: await file(`${name}.token`, secret),
        HANDS_RELAY_TLS_CA_FILE: ca,
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => ended(child));
    return { child, secret, said: linesOf(child) };
  };
  /** A client of the sandbox's workspace, which goes through the relay, or what is at another port. */
  const client = async (name: string, claims: Partial<Claims> = {}, by = port) => {
    const mint = new TokenMint(keys.privateKey);
    const token = await mint.mint({ subject: "test", scopes: ["default/s"], expiresAtMs: Date.now() + 60_000, ...claims });
    const hands = new HandsClient({ address: `https://127.0.0.1:${by}/v1/sandboxes/${name}/rpc`, token, tls: { ca: authority.ca } });
    onTestFinished(() => hands.close());
    return hands;
  };
  return { directory: opened.directory, address, port, authority, tokens, sandbox, client, startOther, kill, restart };
}

/** Settings for real brains, whose model is the stand-in. */
async function brains(): Promise<Record<string, string>> {
  const model = spawn(process.execPath, [bundleOf("model")], {
    env: { PATH: process.env["PATH"], ...COMPILED },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => ended(model));
  const { url }: { url: string } = JSON.parse(await linesOf(model)('"url"'));
  const command = JSON.stringify([process.execPath, bundleOf("brain")]);
  return { ANTHROPIC_BASE_URL: url, ANTHROPIC_AUTH_TOKEN: "any", BRAIN_GRACE_MS: "0", DISPATCHER_BRAIN_COMMAND: command };
}

/** A port that leads to the first of several that takes the connection, as the address that stands for all dispatchers does. */
async function firstOf(ports: readonly number[]): Promise<number> {
  const lead = ([first, ...others]: readonly number[], near: Socket): void => {
    if (first === undefined) return void near.destroy();
    const far = connect(first, "127.0.0.1");
    far.once("connect", () => near.pipe(far).pipe(near));
    far.once("error", () => (far.bytesRead + far.bytesWritten === 0 ? lead(others, near) : near.destroy()));
    far.once("close", () => far.bytesRead > 0 && near.destroy());
    near.once("close", () => far.destroy()).on("error", () => undefined);
  };
  const server = createServer((near) => lead(ports, near)).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** Resolves with the first line of a process that holds a text; rejects if it ends without. */
function linesOf(child: ChildProcess): (part: string) => Promise<string> {
  const lines: string[] = [];
  let isOver = false;
  if (child.stdout === null) throw new Error("its output is expected");
  createInterface(child.stdout)
    .on("line", (line) => lines.push(line))
    .on("close", () => {
      isOver = true;
    });
  return (part) =>
    vi.waitFor(
      () => {
        const found = lines.find((line) => line.includes(part));
        if (found === undefined && isOver) throw new Error(`it ended without the line "${part}": ${lines.join("\n")}`);
        if (found === undefined) throw new Error(`it has not said "${part}" yet`);
        return found;
      },
      { timeout: 60_000, interval: 20 },
    );
}

/** Run a command to its end; its output, each byte as often as it came. */
async function runIn(client: HandsClient, shell: string, begun: () => void = () => undefined): Promise<string> {
  const workspace = client.workspace("default/s", 1n);
  await workspace.create();
  const pieces: Uint8Array[] = [];
  const { ended } = workspace.exec({ execId: randomUUID(), command: { shell } }, (update) => {
    if (update.kind === "started") begun();
    if (update.kind === "output") pieces.push(update.data);
  });
  await ended;
  return Buffer.concat(pieces).toString();
}

/** What a relay answers to who wants to attach with this token. */
async function attach({ port, authority }: { port: number; authority: { ca: string } }, name: string, token?: string) {
  const headers = {
    connection: "upgrade",
    upgrade: "harness-tunnel",
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const asked = request({ host: "127.0.0.1", port, path: `/v1/sandboxes/${name}/attach`, headers, ca: authority.ca }).end();
  const taken = once(asked, "upgrade").then(([, socket]) => {
    (socket as Socket).destroy();
    return [101, ""];
  });
  const refused = once(asked, "response").then(async ([response]) => [response.statusCode, JSON.parse(await text(response)).reason]);
  return await Promise.race([taken, refused]);
}

test("a sandbox in a network without any way in, after NAT, runs commands for whoever has a token of it", async () => {
  const relay = await relaying();
  const isRoot = process.getuid?.() === 0;
  const inside = ["unshare", "--net", ...(isRoot ? [] : ["--user", "--map-root-user"])];
  const { child, said } = await relay.sandbox("laptop", { inside, at: MACHINE });
  // Before that it is in the network of this machine, which is not the router's to touch.
  await vi.waitFor(() => expect(readlinkSync(`/proc/${child.pid}/ns/net`)).not.toBe(readlinkSync("/proc/self/ns/net")), {
    timeout: 60_000,
  });
  const router = spawn("slirp4netns", ["--configure", String(child.pid), "tap0"], { stdio: "ignore" });
  onTestFinished(() => ended(router));
  await said("a relay hands calls on to this server");
  const client = await relay.client("laptop");
  const networks = await runIn(client, "cut -d: -f1 -s /proc/net/dev | sort | xargs");
  expect(networks).toBe("lo tap0\n");
  expect(await runIn(client, "seq 1 500000 | sha256sum")).toBe(`${sha256(numbers(500_000))}  -\n`);
  const output = await runIn(client, "seq 1 500000");
  expect(sha256(output)).toBe(sha256(numbers(500_000)));
  const foreign = await relay.client("laptop", { scopes: ["default/other"] });
  await expect(runIn(foreign, "true")).rejects.toMatchObject({ code: Code.PermissionDenied, reason: "out_of_scope" });
});

test("a leaf runs in a sandbox that dialled in", async () => {
  const relay = await relaying(await brains());
  await (await relay.sandbox("laptop")).said("a relay hands calls on to this server");
  const transport = createTransport({ address: relay.address, token: TOKEN, tls: { ca: relay.authority.ca } });
  onTestFinished(() => transport.close());
  const leaves = createClient(LeafService, transport);
  const { leaf } = await leaves.submit({ spec: { prompt: "Run: echo pine; echo apple" } });
  const events = await allEvents(leaves.watch({ leafId: leaf?.leafId ?? "" }));
  expect(events.at(-1)?.event).toMatchObject({ case: "stateChanged", value: { state: LeafState.DONE } });
  expect((await leaves.get({ leafId: leaf?.leafId ?? "" })).leaf?.result?.text).toMatch(/pine\napple/);
});

test("a dispatcher that is killed under fifty commands costs none of them a byte, and none runs twice", async () => {
  const relay = await relaying();
  await (await relay.sandbox("laptop")).said("a relay hands calls on to this server");
  const client = await relay.client("laptop");
  await runIn(client, "mkdir runs");
  const begun = Array.from({ length: 50 }, () => Promise.withResolvers<void>());
  // Each waits until the relay is another one, with half of its output written before.
  const outputs = begun.map(({ resolve }, i) =>
    runIn(client, `echo x >>runs/${i}; seq 1 20000; until test -e go; do sleep 0.1; done; seq 20001 40000`, resolve),
  );
  await Promise.all(begun.map(({ promise }) => promise));
  await relay.restart();
  await runIn(client, "touch go");
  for (const output of await Promise.all(outputs)) expect(sha256(output)).toBe(sha256(numbers(40_000)));
  expect(await runIn(client, "cat runs/* | sort | uniq -c")).toMatch(/^ *50 x\n$/);
});

test("of two relays one is killed for good under fifty commands: they go on by way of the other, whole, and none runs twice", async () => {
  const relay = await relaying();
  const other = await relay.startOther();
  const { said } = await relay.sandbox("laptop", { ports: [relay.port, other] });
  for (const each of [relay.port, other])
    await said(`"port":${each},"tls":true},"path":"/v1/sandboxes/laptop/attach","msg":"a relay hands`);
  const client = await relay.client("laptop", {}, await firstOf([relay.port, other]));
  await runIn(client, "mkdir runs");
  const begun = Array.from({ length: 50 }, () => Promise.withResolvers<void>());
  const outputs = begun.map(({ resolve }, i) =>
    runIn(client, `echo x >>runs/${i}; seq 1 20000; until test -e go; do sleep 0.1; done; seq 20001 40000`, resolve),
  );
  await Promise.all(begun.map(({ promise }) => promise));
  await relay.kill();
  await runIn(client, "touch go");
  for (const output of await Promise.all(outputs)) expect(sha256(output)).toBe(sha256(numbers(40_000)));
  expect(await runIn(client, "cat runs/* | sort | uniq -c")).toMatch(/^ *50 x\n$/);
});

test("a sandbox attaches by a token of its own alone, and what is refused stands in the audit log", async () => {
  const relay = await relaying();
  const make = async (subject: string, scope: string) => (await relay.tokens.create({ subject, scopes: [scope] })).secret;
  const own = await make("laptop", "sandboxes:serve");
  expect(await attach(relay, "laptop", own)).toEqual([101, ""]);
  expect(await attach(relay, "laptop", TOKEN)).toEqual([101, ""]);
  expect(await attach(relay, "desktop", own)).toEqual([403, "foreign_sandbox"]);
  expect(await attach(relay, "laptop", await make("laptop", "admin"))).toEqual([403, "scope_missing"]);
  expect(await attach(relay, "laptop", await make("laptop", "leaves:submit"))).toEqual([403, "scope_missing"]);
  expect(await attach(relay, "laptop")).toEqual([401, "unauthorized"]);
  expect(await attach(relay, "laptop", "made.up.token")).toEqual([401, "unauthorized"]);
  expect(await attach(relay, "..", own)).toEqual([404, "not_found"]);
  expect(await attach(relay, "a%2fb", own)).toEqual([404, "not_found"]);
  const entries = (await readFile(join(relay.directory, "audit.log"), "utf8")).trim().split("\n");
  const attaches = entries.map((line) => JSON.parse(line)).filter((entry) => JSON.stringify(entry).includes("sandbox.attach"));
  expect(attaches.filter((entry) => JSON.stringify(entry).includes("foreign_sandbox"))).toHaveLength(1);
  expect(JSON.stringify(attaches)).not.toContain(own);
});

test("a sandbox that dialled in tells who it is by a token for nothing else, which opens no workspace", async () => {
  const relay = await relaying();
  const { child, said } = await relay.sandbox("laptop");
  await said("a relay hands calls on to this server");
  const client = await relay.client("laptop", { scopes: [], operations: [] });
  const { stateId } = await client.describe();
  expect(stateId).toMatch(/^state_/);
  await expect(client.listWorkspaces()).rejects.toMatchObject({ code: Code.PermissionDenied, reason: "out_of_scope" });
  await ended(child);
  await (await relay.sandbox("laptop")).said("a relay hands calls on to this server");
  expect((await client.describe()).stateId).not.toBe(stateId);
});

test("sandboxes that dial in are in the pool, each for the tenant of its token, and none gets the name of another tenant's", async () => {
  const relay = await relaying({ HANDS_URL: "pool" });
  const transport = createTransport({ address: relay.address, token: TOKEN, tls: { ca: relay.authority.ca } });
  onTestFinished(() => transport.close());
  const pool = createClient(SandboxService, transport);
  const make = async (tenant: string) => (await relay.tokens.create({ tenant, subject: "laptop", scopes: ["sandboxes:serve"] })).secret;
  const { child } = await relay.sandbox("laptop", { token: await make("acme") });
  await relay.sandbox("shared");
  const there = async () => {
    const { sandboxes, nowMs } = await pool.listSandboxes({});
    return sandboxes.filter(({ aliveUntilMs }) => aliveUntilMs > nowMs).map(({ name, tenant, address }) => [name, tenant, address]);
  };
  const at = (name: string) => `https://127.0.0.1:${relay.port}/v1/sandboxes/${name}/rpc`;
  await vi.waitFor(
    async () =>
      expect(await there()).toEqual([
        ["laptop", "acme", at("laptop")],
        ["shared", "", at("shared")],
      ]),
    {
      timeout: 30_000,
    },
  );
  await ended(child);
  await vi.waitFor(async () => expect((await there()).map(([name]) => name)).toEqual(["shared"]), { timeout: 30_000 });
  expect(await attach(relay, "laptop", await make("evil"))).toEqual([409, "name_taken"]);
  expect(await attach(relay, "laptop", await make("default"))).toEqual([409, "name_taken"]);
  expect(await attach(relay, "laptop", await make("acme"))).toEqual([101, ""]);
});

test("only the calls of hands are handed on to a sandbox", async () => {
  const relay = await relaying();
  await (await relay.sandbox("laptop")).said("a relay hands calls on to this server");
  const status = async (path: string): Promise<number | undefined> => {
    const asked = request({
      host: "127.0.0.1",
      port: relay.port,
      path: `/v1/sandboxes/laptop/rpc${path}`,
      ca: relay.authority.ca,
      headers: AUTHORIZED,
    }).end();
    const [response] = await once(asked, "response");
    response.resume();
    return response.statusCode;
  };
  expect(await status("/metrics")).toBe(404);
  expect(await status("/health")).toBe(404);
  expect(await status("/harness.hands.v1.ExecService/../../../metrics")).toBe(404);
});

function numbers(count: number): string {
  return Array.from({ length: count }, (_, i) => `${i + 1}\n`).join("");
}

function sha256(data: string): string {
  return createHash("sha256").update(data).digest("hex");
}
