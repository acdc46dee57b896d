import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import * as http2 from "node:http2";
import { createServer } from "node:net";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { formatAddress } from "@serverless-harness/kit/address";
import { ConfigError } from "@serverless-harness/kit/env";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { EndCause } from "@serverless-harness/proto/hands";
import { expect, onTestFinished, test } from "vitest";
import { type ClientTimes, HandsClient, type HandsClientOptions } from "../../client/index.ts";
import { CuttingProxy, seeded } from "../fixtures/cutting-proxy.ts";
import { startDaemon } from "../fixtures/daemon.ts";
import { checkUpdates, follow } from "../fixtures/followed.ts";
import { EPOCH, startSandbox, WORKSPACE } from "../fixtures/sandbox.ts";

function newClient(options: HandsClientOptions, times?: ClientTimes): HandsClient {
  const client = new HandsClient(options, times);
  onTestFinished(() => client.close());
  return client;
}

async function startWithProxy(options: Partial<HandsClientOptions> = {}, times?: ClientTimes) {
  const sandbox = await startSandbox();
  const proxy = await CuttingProxy.start(sandbox.address);
  const client = newClient({ address: proxy.address, patienceMs: 20_000, ...options }, times);
  return { sandbox, proxy, client, workspace: client.workspace(WORKSPACE, EPOCH) };
}

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: HarnessError) => error,
  );

test("an exec's updates and its end are delivered", async () => {
  const { workspace, client } = await startWithProxy();
  const made = client.workspace("acme/new", 1n);
  expect((await made.create()).name).toBe("acme/new");
  const followed = follow(workspace, "echo out; echo err >&2; exit 3");
  expect(await followed.handle.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 3 });
  checkUpdates(followed.updates);
  expect(followed.updates[0]).toMatchObject({ kind: "started", attached: false });
  expect(followed.text().split("\n").sort()).toEqual(["", "err", "out"]);
});

test("a refused exec rejects with the reason", async () => {
  const { workspace, client } = await startWithProxy();
  await follow(workspace, "true", { execId: "taken" }).handle.ended;
  expect(await rejection(follow(workspace, "false", { execId: "taken" }).handle.ended)).toMatchObject({
    code: Code.AlreadyExists,
    reason: "id_reused",
  });
  expect(await rejection(follow(client.workspace(WORKSPACE, 1n), "true").handle.ended)).toMatchObject({ reason: "stale_epoch" });
  expect(await rejection(follow(client.workspace("acme/none", 1n), "true").handle.ended)).toMatchObject({ reason: "unknown_workspace" });
  expect(await rejection(follow(workspace, "true", { execId: "bad id" }).handle.ended)).toMatchObject({ code: Code.InvalidArgument });
});

test.each([1, 2, 3, 4])("no byte is lost or doubled over cuts at random places (seed %i)", async (seed) => {
  const { workspace, proxy, sandbox } = await startWithProxy();
  const random = seeded(seed);
  let cuts = 0;
  proxy.cutEvery(() => (cuts++ < 8 ? Math.floor(random() ** 3 * 400_000) + 1 : Number.POSITIVE_INFINITY));
  const followed = [
    follow(workspace, "head -c 2000000 /dev/urandom | tee copy-0; echo x >> ran-0"),
    follow(workspace, "for i in $(seq 2000); do echo line $i; echo error $i >&2; done | tee copy-1; echo x >> ran-1"),
    follow(workspace, "seq 100000 | tee copy-2; echo x >> ran-2"),
  ];
  const { path } = sandbox.workspaces.find(WORKSPACE);
  for (const [i, one] of followed.entries()) {
    const ended = await one.handle.ended;
    expect(ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 0, totalBytes: BigInt(one.bytes().length) });
    checkUpdates(one.updates);
    if (i !== 1) expect(digest(one.bytes())).toBe(digest(await readFile(join(path, `copy-${i}`))));
    expect(await readFile(join(path, `ran-${i}`), "utf8")).toBe("x\n");
  }
  expect(proxy.connections).toBeGreaterThan(5);
});

const digest = (data: Buffer): string => createHash("sha256").update(data).digest("hex");

test("an exec that writes nothing tells for how long, to whoever attaches and at its end", async () => {
  const daemon = await startDaemon({ HANDS_SILENCE_MS: "1000" });
  const workspace = await daemon.connect();
  const command = "echo up; until test -e go; do sleep 0.05; done; exit 3";
  const first = follow(workspace, command, { execId: "silent" });
  expect(first.updates).toEqual([]);
  await first.until(() => first.text() === "up\n");
  const since = performance.now();
  while (performance.now() - since < 1100) await follow(workspace, "true").handle.ended;
  const silentForMs = Math.floor(performance.now() - since);
  const later = follow(workspace, command, { execId: "silent" });
  await later.until(() => later.updates.length > 0);
  const [started] = later.updates;
  if (started?.kind !== "started") throw new Error("it did not start");
  expect(started.attached).toBe(true);
  expect(started.silentMs).toBeGreaterThanOrEqual(silentForMs);
  expect((await follow(workspace, "touch go").handle.ended)?.message).toBe("");
  const ended = await first.handle.ended;
  expect(ended).toMatchObject({ exitCode: 3, message: expect.stringMatching(/^it wrote nothing for \d+ seconds on end$/) });
});

test("an exec that is attached to from an offset delivers the rest only", async () => {
  const { workspace } = await startWithProxy();
  await follow(workspace, "printf 0123456789", { execId: "digits" }).handle.ended;
  const rest = follow(workspace, "printf 0123456789", { execId: "digits" }, 4);
  await rest.handle.ended;
  checkUpdates(rest.updates, 4);
  expect(rest.text()).toBe("456789");
  expect(rest.updates[0]).toMatchObject({ attached: true });
});

test("two may follow the same exec with one client", async () => {
  const { workspace } = await startWithProxy();
  const first = follow(workspace, "echo a; sleep 0.1; echo b", { execId: "shared" });
  const second = follow(workspace, "echo a; sleep 0.1; echo b", { execId: "shared" });
  await Promise.all([first.handle.ended, second.handle.ended]);
  for (const one of [first, second]) {
    checkUpdates(one.updates);
    expect(one.text()).toBe("a\nb\n");
  }
});

test("detach leaves the exec alone, and another handle takes it up", async () => {
  const { workspace } = await startWithProxy();
  const command = "echo up; while [ ! -e go ]; do sleep 0.01; done; echo done";
  const first = follow(workspace, command, { execId: "left" });
  await first.until(() => first.text() === "up\n");
  first.handle.detach();
  expect(await rejection(first.handle.ended)).toMatchObject({ code: Code.Canceled, reason: "detached" });
  const second = follow(workspace, command, { execId: "left" });
  await follow(workspace, "touch go").handle.ended;
  await second.handle.ended;
  checkUpdates(second.updates);
  expect(second.text()).toBe("up\ndone\n");
});

test("cancel ends the exec, also when it is asked for at once, and again after the end", async () => {
  const { workspace } = await startWithProxy();
  const { handle } = follow(workspace, "sleep 60 & sleep 60");
  await handle.cancel();
  expect((await handle.ended).cause).toBe(EndCause.CANCELLED);
  await handle.cancel();
  const other = follow(workspace, "sleep 60");
  await other.handle.signal("SIGINT");
  expect(await other.handle.ended).toMatchObject({ cause: EndCause.SIGNALED, signal: "SIGINT" });
});

test("input arrives whole and in order, from before the exec is known on", async () => {
  const { workspace } = await startWithProxy();
  const { handle, ...followed } = follow(workspace, "cat", { stdinOpen: true });
  const pieces = Array.from({ length: 50 }, (_, i) => `${i} ${"x".repeat(5000)}\n`);
  for (const piece of pieces) handle.writeStdin(Buffer.from(piece));
  await followed.until(() => followed.text().length > 100_000);
  handle.writeStdin(Buffer.from("last\n"));
  handle.closeStdin();
  await handle.ended;
  expect(followed.text()).toBe(`${pieces.join("")}last\n`);
});

test("input that may or may not have arrived when the connection broke is told, not doubled", async () => {
  const { workspace, proxy } = await startWithProxy();
  const { handle, ...followed } = follow(workspace, "cat", { stdinOpen: true });
  handle.writeStdin(Buffer.from("first\n"));
  await followed.until(() => followed.text() === "first\n");
  proxy.stall();
  handle.writeStdin(Buffer.from("second\n"));
  proxy.cut();
  expect(await rejection(handle.ended)).toMatchObject({ code: Code.Unavailable, reason: "stdin_interrupted" });
});

test("whoever stays away for longer than the patience is reported as unavailable", async () => {
  const base = await temporaryDirectory();
  const client = newClient({ address: `unix:${join(base, "nobody.sock")}`, patienceMs: 150 });
  const workspace = client.workspace(WORKSPACE, EPOCH);
  const expected = { code: Code.Unavailable, reason: "sandbox_unavailable" };
  expect(await rejection(follow(workspace, "true").handle.ended)).toMatchObject(expected);
  expect(await rejection(workspace.create())).toMatchObject(expected);
  expect(await rejection(follow(workspace, "true").handle.cancel())).toMatchObject(expected);
});

test("a hands that comes up late is waited for", async () => {
  const base = await temporaryDirectory();
  const address = { kind: "unix", path: join(base, "late.sock") } as const;
  const client = newClient({ address: formatAddress(address) });
  const followed = follow(client.workspace(WORKSPACE, EPOCH), "echo late");
  await startSandbox({ address });
  await followed.handle.ended;
  expect(followed.text()).toBe("late\n");
});

test("a hands that takes connections and says nothing is found out", async () => {
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", () => resolve()));
  onTestFinished(() => void silent.close());
  const { port } = silent.address() as { port: number };
  const client = newClient({ address: `http://127.0.0.1:${port}`, patienceMs: 200 }, { pingIntervalMs: 50, pingTimeoutMs: 50 });
  expect(await rejection(follow(client.workspace(WORKSPACE, EPOCH), "true").handle.ended)).toMatchObject({ reason: "sandbox_unavailable" });
});

test("a connection that dies without a word is noticed by the pings, and what was missing arrives over another", async () => {
  const { workspace, proxy } = await startWithProxy({}, { pingIntervalMs: 50, pingTimeoutMs: 100 });
  const followed = follow(workspace, "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two");
  await followed.until(() => followed.text() === "one\n");
  proxy.stall();
  await follow(workspace, "touch go").handle.ended;
  await followed.handle.ended;
  checkUpdates(followed.updates);
  expect(followed.text()).toBe("one\ntwo\n");
  expect(proxy.connections).toBeGreaterThan(1);
});

test("a connection that is destroyed at any moment never ends the process", async () => {
  // The other end speaks HTTP/2 just long enough to be believed, then breaks in a different way each time.
  const breaks: Array<(session: http2.ServerHttp2Session) => void> = [
    (session) => session.destroy(),
    (session) => session.goaway(http2.constants.NGHTTP2_NO_ERROR),
    (session) => session.goaway(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from("too_many_pings")),
    (session) => session.socket.destroy(),
    (session) => session.destroy(new Error("broken"), http2.constants.NGHTTP2_INTERNAL_ERROR),
  ];
  let connections = 0;
  const server = http2.createServer();
  server.on("session", (session) => {
    session.on("error", () => undefined);
    const kind = connections++;
    session.on("stream", (stream) => {
      stream.on("error", () => undefined);
      stream.respond({ ":status": 200, "content-type": "application/connect+proto" });
      breaks[kind % breaks.length]?.(session);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  onTestFinished(() => void server.close());
  const { port } = server.address() as { port: number };
  const client = newClient({ address: `http://127.0.0.1:${port}`, patienceMs: 1500 }, { pingIntervalMs: 20, pingTimeoutMs: 200 });
  const error = await rejection(follow(client.workspace(WORKSPACE, EPOCH), "true").handle.ended);
  expect(error).toMatchObject({ reason: "sandbox_unavailable" });
  expect(connections).toBeGreaterThan(breaks.length);
});

test("an exec that hands forgot while the connection was broken is not run again", async () => {
  const { workspace, proxy, sandbox } = await startWithProxy();
  const followed = follow(workspace, "echo x >> ran; echo up; sleep 0.1", { execId: "forgotten" });
  await followed.until(() => followed.text() === "up\n");
  proxy.stall();
  const exec = await sandbox.execs.get(WORKSPACE, "forgotten");
  await exec.settled;
  await sandbox.workspaces.delete(WORKSPACE, EPOCH);
  await sandbox.workspaces.create(WORKSPACE, EPOCH);
  proxy.cut();
  expect(await rejection(followed.handle.ended)).toMatchObject({ code: Code.NotFound, reason: "unknown_exec" });
});

test("closing the client leaves its execs alone and tells whoever follows them", async () => {
  const { workspace, client, sandbox } = await startWithProxy();
  const followed = follow(workspace, "echo up; sleep 0.2; echo end > proof", { execId: "alone" });
  await followed.until(() => followed.text() === "up\n");
  client.close();
  expect(await rejection(followed.handle.ended)).toMatchObject({ code: Code.Canceled, reason: "detached" });
  await (await sandbox.execs.get(WORKSPACE, "alone")).settled;
  expect(await readFile(join(sandbox.workspaces.find(WORKSPACE).path, "proof"), "utf8")).toBe("end\n");
  expect(await rejection(follow(workspace, "true").handle.ended)).toMatchObject({ code: Code.Canceled });
});

test("an idle channel is let go of, and the next exec opens another", async () => {
  const { workspace } = await startWithProxy({}, { idleMs: 1 });
  for (let i = 0; i < 30; i++) {
    const followed = follow(workspace, `echo ${i}`);
    await followed.handle.ended;
    expect(followed.text()).toBe(`${i}\n`);
    // A round trip, so that the channel is let go of before, while or after the next exec comes.
    if (i % 3 !== 0) await workspace.create();
  }
});

test("an address that can't be read is told at once", () => {
  expect(() => new HandsClient({ address: "ftp://nowhere" })).toThrow(ConfigError);
});
