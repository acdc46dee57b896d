import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import * as net from "node:net";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { childrenOf, isSameProcess, processStartTicks } from "@serverless-harness/kit/proc";
import { createTransport } from "@serverless-harness/kit/transport";
import { LeafService, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { launch, runDispatcher } from "./process.ts";
import { allEvents, newStore, refusal, untilState } from "./support.ts";

describe("a dispatcher", () => {
  test("takes a leaf, starts a brain for it, streams it to the end, and is alone again", async () => {
    const opened = await newStore();
    const { leaves, health, child, line } = await runDispatcher(opened);
    const events = await allEvents(leaves.run({ spec: { prompt: "say hello" } }));
    expect(events.at(-1)?.event).toMatchObject({ value: { state: LeafState.DONE, result: { text: "hello" } } });
    await line('"msg":"brain exited with code 0"');
    expect(await health()).toMatchObject({ waker: "local", brains: [], brainsStarted: 1, backlog: { ready: 0, running: 0 } });
    expect(childrenOf(child.pid ?? 0)).toEqual([]);
  });

  test("writes its brain's output to its own stdout, with the brain's name", async () => {
    const { leaves, line } = await runDispatcher(await newStore());
    await allEvents(leaves.run({ spec: { prompt: "crash once" } }));
    const words = JSON.parse(await line("the brain met its end"));
    expect(words).toMatchObject({ brain: expect.stringMatching(/^brain_/), stream: "stderr" });
    expect(JSON.parse(await line('"released":1'))).toMatchObject({ brain: words.brain, msg: "brain killed by SIGKILL" });
  });

  test("keeps its brain's output on stdout where the log file can't take it", async () => {
    const { leaves, line, health } = await runDispatcher(await newStore(), { DISPATCHER_BRAIN_LOG: "/dev/full" });
    await allEvents(leaves.run({ spec: { prompt: "crash once" } }));
    await line("the brain met its end");
    expect(JSON.parse(await line("can't be written"))).toMatchObject({ msg: expect.stringMatching("DISPATCHER_BRAIN_LOG .*ENOSPC") });
    expect(await health()).toMatchObject({ status: "ok" });
  });

  test("told to stop lets its brain hand back its leaf, ends streams, and leaves no process behind", async () => {
    const opened = await newStore();
    const log = join(opened.directory, "brain.log");
    const { leaves, child, exited } = await runDispatcher(opened, { DISPATCHER_BRAIN_LOG: log });
    const { leaf } = await leaves.submit({ spec: { prompt: "hold" } });
    const leafId = leaf?.leafId ?? "";
    const seen: Array<string | undefined> = [];
    const watching = refusal(
      (async () => {
        for await (const { event } of leaves.watch({ leafId }))
          seen.push(event?.event.case === "stateChanged" ? event.event.value.note : "");
      })(),
    );
    await untilState(opened.store, leafId, LeafState.RUNNING);
    const [brain = 0] = childrenOf(child.pid ?? 0);
    const ticks = processStartTicks(brain) ?? "";
    child.kill("SIGTERM");
    expect(await watching).toMatchObject({ code: Code.Unavailable, reason: "shutting_down" });
    expect(seen.at(-1)).toBe("brain drained");
    expect(await exited).toMatchObject({ code: 0, stderr: "" });
    expect(isSameProcess(brain, ticks)).toBe(false);
    expect((await opened.store.get(leafId))?.state).toBe(LeafState.SUSPENDED);
    expect(await readFile(log, "utf8")).toMatch(`"leaf":"${leafId}"`);
  });

  test("killed leaves its brain alive, and the next dispatcher leaves it alone", async () => {
    const opened = await newStore();
    const go = join(opened.directory, "go");
    const first = await runDispatcher(opened);
    const { leaf } = await first.leaves.submit({ spec: { prompt: `until ${go}` } });
    const leafId = leaf?.leafId ?? "";
    await untilState(opened.store, leafId, LeafState.RUNNING);
    const pid = Number((await opened.store.get(leafId))?.worker?.pid);
    const ticks = processStartTicks(pid) ?? "";
    first.child.kill("SIGKILL");
    await first.exited;

    const second = await runDispatcher(opened);
    expect(await second.health()).toMatchObject({ backlog: { ready: 0, running: 1 }, brainsStarted: 0 });
    expect(isSameProcess(pid, ticks)).toBe(true);
    await writeFile(go, "");
    const events = await allEvents(second.leaves.watch({ leafId }));
    expect(events.at(-1)?.event).toMatchObject({ value: { state: LeafState.DONE } });
    expect((await opened.store.get(leafId))?.claims).toBe(1);
    expect(await second.health()).toMatchObject({ brainsStarted: 0 });
  });

  test("killed while work waits is followed by one that takes it up", async () => {
    const opened = await newStore();
    const first = await runDispatcher(opened, { DISPATCHER_WAKER: "none" });
    const { leaf } = await first.leaves.submit({ spec: { prompt: "say later" } });
    first.child.kill("SIGKILL");
    await first.exited;
    const second = await runDispatcher(opened);
    const events = await allEvents(second.leaves.watch({ leafId: leaf?.leafId ?? "" }));
    expect(events.at(-1)?.event).toMatchObject({ value: { state: LeafState.DONE, result: { text: "later" } } });
  });

  test("serves a Unix socket without a token, and takes the socket of a killed one over", async () => {
    const opened = await newStore();
    const path = join(opened.directory, "dispatcher.sock");
    const env = { LEAF_STORE: opened.url, DISPATCHER_LISTEN: `unix:${path}`, DISPATCHER_WAKER: "none" };
    const killed = launch(env);
    await killed.line("dispatcher listens");
    killed.child.kill("SIGKILL");
    await killed.exited;
    const next = launch(env);
    await next.line("dispatcher listens");
    const transport = createTransport({ address: { kind: "unix", path } });
    onTestFinished(() => transport.close());
    const { created } = await createClient(LeafService, transport).submit({ spec: { prompt: "p" } });
    expect(created).toBe(true);
    next.child.kill("SIGTERM");
    expect((await next.exited).code).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  test.each([
    ["no settings", {}, ["LEAF_STORE", "DISPATCHER_TOKEN_FILE"]],
    ["a store of another kind", { LEAF_STORE: "redis://:hush@host", DISPATCHER_LISTEN: "unix:/nowhere/s" }, ["redis"]],
    ["an address open to others", { LEAF_STORE: "sqlite:/x", DISPATCHER_LISTEN: "0.0.0.0:1" }, ["DISPATCHER_TOKEN_FILE", "other machines"]],
  ])("does not start with %s, and says why in a line", async (_what, env, parts) => {
    const { code, stderr } = await launch(env).exited;
    expect(code).toBe(64);
    for (const part of parts) expect(stderr).toContain(part);
    expect(stderr).not.toMatch(/^\s+at |hush/m);
  });

  test("does not start on a port in use", async () => {
    const opened = await newStore();
    const { origin } = await runDispatcher(opened, { DISPATCHER_WAKER: "none" });
    const second = launch({
      LEAF_STORE: opened.url,
      DISPATCHER_LISTEN: origin,
      DISPATCHER_TOKEN_FILE: join(opened.directory, "token"),
    });
    const { code, stderr } = await second.exited;
    expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringMatching(/in use by another process/) });
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});

describe("a client that speaks nonsense", () => {
  const RPC = "/harness.leaf.v1.LeafService/Get";

  test("harms nobody", async () => {
    const { origin, health } = await runDispatcher(await newStore(), { DISPATCHER_WAKER: "none" });
    const nonsense = [
      `POST ${RPC} HTTP/1.1\r\nHost: [\r\nContent-Length: 0\r\n\r\n`,
      `POST ${RPC} HTTP/1.0\r\n\r\n`,
      "GET /health HTTP/1.0\r\n\r\n",
      "GET http://[/turn HTTP/1.1\r\nHost: x\r\n\r\n",
      "POST /turn HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, not at all",
      "PRI nonsense",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "\0".repeat(1000),
      `GET /health HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(100_000)}\r\n\r\n`,
    ];
    for (const text of nonsense) {
      const socket = net.connect(Number(new URL(origin).port), "127.0.0.1");
      const closed = new Promise((resolve) => socket.on("close", resolve));
      socket.on("error", () => undefined);
      socket.end(text, "latin1");
      socket.resume();
      await closed;
    }
    expect(await health()).toMatchObject({ status: "ok" });
  });
});

test("a dispatcher whose database is deleted under it says so and takes nothing, and the next one does not begin an empty store", async () => {
  const opened = await newStore();
  const running = await runDispatcher(opened, { DISPATCHER_WAKER: "none" });
  await running.leaves.submit({ spec: { prompt: "hello" } });
  await rm(join(opened.directory, "leaf.db"));
  expect(await refusal(running.leaves.submit({ spec: { prompt: "hello" } }))).toMatchObject({ code: Code.DataLoss, reason: "store_lost" });
  expect(await running.health()).toMatchObject({ status: "store_lost", problem: expect.stringContaining("was deleted") });
  running.child.kill("SIGTERM");
  await running.exited;
  const next = launch({ LEAF_STORE: opened.url, DISPATCHER_LISTEN: `unix:${join(opened.directory, "socket")}`, DISPATCHER_WAKER: "none" });
  expect(await next.exited).toMatchObject({ code: 64, stderr: expect.stringMatching(/^the leaf store \S+ was deleted: .*\n$/) });
});
