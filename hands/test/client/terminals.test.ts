import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { expect, onTestFinished, test } from "vitest";
import { HandsClient, type HandsClientOptions } from "../../client/index.ts";
import { SCROLLBACK_BYTES } from "../../terminals/terminal.ts";
import { CuttingProxy, seeded } from "../fixtures/cutting-proxy.ts";
import { startDaemon } from "../fixtures/daemon.ts";
import { EPOCH, startSandbox, WORKSPACE } from "../fixtures/sandbox.ts";
import { watchTerminal } from "../fixtures/watched.ts";

async function start(options: Partial<HandsClientOptions> = {}) {
  const sandbox = await startSandbox();
  const proxy = await CuttingProxy.start(sandbox.address);
  const client = new HandsClient({ address: proxy.address, patienceMs: 20_000, ...options });
  onTestFinished(() => client.close());
  return { sandbox, proxy, client, workspace: client.workspace(WORKSPACE, EPOCH), path: sandbox.workspaces.find(WORKSPACE).path };
}

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: HarnessError) => error,
  );
const digest = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
/** A program whose output on the terminal is that of the command, byte for byte. */
const raw = (command: string) => ({ terminalId: "t", argv: ["bash", "-c", `stty raw -echo; ${command}`] });

test("a terminal is opened, written to, looked at, resized, listed and closed", async () => {
  const { workspace } = await start();
  const opened = await workspace.openTerminal({ terminalId: "t", argv: ["bash", "--norc"], columns: 60, rows: 10, env: { PS1: "> " } });
  expect(opened).toMatchObject({ existed: false, terminal: { columns: 60, rows: 10 } });
  const watched = watchTerminal(workspace, "t");
  await watched.until(() => watched.text().includes("> "));
  const answers = [1, 2].map(() => workspace.writeTerminal("t", Buffer.from("stty size; echo a-$((1))\n"), { inputId: "i" }));
  expect((await Promise.all(answers)).map(({ replayed }) => replayed).sort()).toEqual([false, true]);
  await watched.until(() => /\na-1\r\n.*> $/s.test(watched.text()));
  const screen = await workspace.terminalScreen("t");
  expect(screen.lines.slice(0, 4)).toEqual(["> stty size; echo a-$((1))", "10 60", "a-1", ">"]);
  await workspace.resizeTerminal("t", 70, 12);
  await watched.until(() => watched.updates.some((update) => update.kind === "resized" && update.columns === 70 && update.rows === 12));
  expect((await workspace.listTerminals()).map(({ terminalId }) => terminalId)).toEqual(["t"]);
  await workspace.closeTerminal("t");
  expect(await watched.handle.ended).toMatchObject({ signal: "SIGHUP" });
  expect(await workspace.listTerminals()).toEqual([]);
  expect(await rejection(watchTerminal(workspace, "t").handle.ended)).toMatchObject({ code: Code.NotFound, reason: "unknown_terminal" });
});

test.each([1, 2, 3])("no byte of output is lost or doubled over cuts at random places (seed %i)", async (seed) => {
  const { workspace, proxy, path } = await start();
  const random = seeded(seed);
  let cuts = 0;
  proxy.cutEvery(() => (cuts++ < 8 ? Math.floor(random() ** 3 * 150_000) + 1 : Number.POSITIVE_INFINITY));
  await workspace.openTerminal(raw("head -c 900000 /dev/urandom | tee copy; echo x >>ran"));
  const [one, two] = [watchTerminal(workspace, "t", 0), watchTerminal(workspace, "t", 0)];
  expect(await one.handle.ended).toMatchObject({ exitCode: 0 });
  await two.handle.ended;
  const written = await readFile(join(path, "copy"));
  expect([one, two].map((watched) => digest(watched.bytes()))).toEqual([digest(written), digest(written)]);
  expect(await readFile(join(path, "ran"), "utf8")).toBe("x\n");
  expect(proxy.connections).toBeGreaterThan(4);
});

test.each([1, 2, 3])("what is typed arrives once and in order over cuts in both directions (seed %i)", async (seed) => {
  const { workspace, proxy, path } = await start();
  const random = seeded(seed);
  await workspace.openTerminal(raw("head -c 40000 >typed; printf over"));
  const watched = watchTerminal(workspace, "t");
  const text = `${Array.from({ length: 5000 }, (_, index) => String(index).padStart(7, "0")).join("\n")}\n`;
  for (let at = 0; at < text.length; ) {
    const length = 1 + Math.floor(random() * 400);
    watched.type(text.slice(at, at + length));
    at += length;
    if (random() < 0.06) proxy.cut();
    if (random() < 0.2) await new Promise((resolve) => setImmediate(resolve));
    if (random() < 0.05) await workspace.listTerminals();
  }
  await watched.handle.ended;
  expect(await readFile(join(path, "typed"), "utf8")).toBe(text);
  expect(proxy.connections).toBeGreaterThan(2);
});

test("a history that was trimmed is a gap, and the rest follows it", async () => {
  const { workspace } = await start();
  const bytes = 3 * SCROLLBACK_BYTES;
  await workspace.openTerminal(raw(`head -c ${bytes} /dev/zero | tr '\\0' x; printf done`));
  await watchTerminal(workspace, "t").handle.ended;
  const late = watchTerminal(workspace, "t", 10);
  await late.handle.ended;
  expect(late.updates[1]).toEqual({ kind: "gap", from: 10, to: bytes + 4 - late.bytes().length });
  expect(late.text().endsWith("xdone")).toBe(true);
});

test("a resize over a cut is made, and a watcher that was away learns of it", async () => {
  const { workspace, proxy, sandbox } = await start();
  const direct = new HandsClient({ address: `http://127.0.0.1:${sandbox.address.kind === "tcp" ? sandbox.address.port : 0}` });
  onTestFinished(() => direct.close());
  await workspace.openTerminal({ terminalId: "t", argv: ["cat"] });
  const away = watchTerminal(workspace, "t");
  await away.until(() => away.updates.length > 0);
  proxy.cut();
  away.handle.resize(50, 20);
  const near = watchTerminal(direct.workspace(WORKSPACE, EPOCH), "t");
  const isResized = (watched: typeof away) => () =>
    watched.terminal()?.columns === 50 || watched.updates.some((update) => update.kind === "resized" && update.columns === 50);
  await Promise.all([near.until(isResized(near)), away.until(isResized(away))]);
  expect((await workspace.terminalScreen("t")).terminal).toMatchObject({ columns: 50, rows: 20 });
});

test("whoever detaches leaves the terminal as it is, and a watcher that fails is let go of", async () => {
  const { workspace, client } = await start();
  await workspace.openTerminal({ terminalId: "t", argv: ["cat"] });
  const first = watchTerminal(workspace, "t");
  await first.until(() => first.updates.length > 0);
  first.handle.detach();
  expect(await rejection(first.handle.ended)).toMatchObject({ reason: "detached" });
  const failing = workspace.attachTerminal("t", () => {
    throw new Error("no");
  });
  expect(await rejection(failing.ended)).toMatchObject({ reason: "update_failed" });
  const second = watchTerminal(workspace, "t");
  second.type("still here\n");
  await second.until(() => second.text().includes("still here\r\nstill here"));
  client.close();
  expect(await rejection(second.handle.ended)).toMatchObject({ reason: "detached" });
  expect(await rejection(watchTerminal(workspace, "t").handle.ended)).toMatchObject({ reason: "detached" });
});

test("an owner that was replaced types no more, over no stream", async () => {
  const { workspace, client } = await start();
  await workspace.openTerminal({ terminalId: "t", argv: ["cat"] });
  const old = watchTerminal(workspace, "t");
  await old.until(() => old.updates.length > 0);
  await client.workspace(WORKSPACE, EPOCH + 1n).create();
  old.type("not typed\n");
  expect(await rejection(old.handle.ended)).toMatchObject({ code: Code.FailedPrecondition, reason: "stale_epoch" });
  expect(await rejection(workspace.writeTerminal("t", Buffer.from("x"), { inputId: "i" }))).toMatchObject({ reason: "stale_epoch" });
  expect((await workspace.terminalScreen("t")).lines.join("")).not.toContain("not typed");
});

test("a watcher with a token types and resizes", async () => {
  const workspace = await (await startDaemon()).connect();
  await workspace.openTerminal({ terminalId: "t", argv: ["cat"] });
  const watched = watchTerminal(workspace, "t");
  watched.handle.resize(44, 11);
  watched.type("typed\n");
  await watched.until(() => watched.text().includes("typed\r\ntyped\r\n"));
  expect((await workspace.terminalScreen("t")).terminal).toMatchObject({ columns: 44, rows: 11 });
});

test("a sandbox that does not come back is given up after the client's patience", async () => {
  const daemon = await startDaemon();
  await (await daemon.connect()).openTerminal({ terminalId: "t", argv: ["cat"] });
  const address = `unix:${join(daemon.base, "socket", "hands.sock")}`;
  const client = new HandsClient({ address, token: daemon.token, patienceMs: 200 });
  onTestFinished(() => client.close());
  const watched = watchTerminal(client.workspace(WORKSPACE, EPOCH), "t");
  await watched.until(() => watched.updates.length > 0);
  daemon.process.kill("SIGKILL");
  expect(await rejection(watched.handle.ended)).toMatchObject({ code: Code.Unavailable, reason: "sandbox_unavailable" });
});

test("a terminal that died with its daemon is unknown to the next one, also where another has its id meanwhile", async () => {
  const first = await startDaemon();
  const workspace = await first.connect();
  for (const terminalId of ["lost", "taken"]) await workspace.openTerminal({ terminalId, argv: ["cat"] });
  const [lost, taken] = [watchTerminal(workspace, "lost"), watchTerminal(workspace, "taken")];
  await Promise.all([lost, taken].map((watched) => watched.until(() => watched.updates.length > 0)));
  first.process.kill("SIGKILL");
  await first.gone;
  const second = await startDaemon({}, first.base);
  await (await second.connect()).openTerminal({ terminalId: "taken", argv: ["cat"] });
  for (const watched of [lost, taken])
    expect(await rejection(watched.handle.ended)).toMatchObject({ code: Code.NotFound, reason: "unknown_terminal" });
});
