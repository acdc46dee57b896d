import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { isSameProcess, processStartTicks } from "@serverless-harness/kit/proc";
import { FailureReason, FailureSchema, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, test, vi } from "vitest";
import { askHttp1 } from "./http-client.ts";
import { AUTHORIZED, claimed, openDoor, SCRIPTED_BRAIN, untilState, workerNamed } from "./support.ts";
import { AN_HOUR, counts, openWaker, submit, untilNone } from "./waker-setup.ts";

describe("the local waker", () => {
  test("starts no brain where there is nothing to do", async () => {
    const { waker, store } = await openWaker();
    waker.start();
    await store.waitForWork(100, new AbortController().signal);
    expect(counts(waker.status())).toEqual({ brainsStarted: 0, brainsCrashed: 0, live: 0 });
  });

  test("starts one at a Submit, and none is left when the work is done", async () => {
    const { waker, store } = await openWaker();
    waker.start();
    const { leaves } = await openDoor({ store, waker });
    const { leaf } = await leaves.submit({ spec: { prompt: "say hello there" } });
    await untilState(store, leaf?.leafId ?? "", LeafState.DONE);
    expect((await store.get(leaf?.leafId ?? ""))?.result?.text).toBe("hello there");
    await untilNone(waker);
    expect(counts(waker.status())).toEqual({ brainsStarted: 1, brainsCrashed: 0, live: 0 });
    expect(waker.status().brainSeconds).toBeGreaterThan(0);
  });

  test("starts one for work that was there before, and for work that others put into the queue", async () => {
    const { waker, store } = await openWaker();
    const before = await submit(store, "say before");
    waker.start();
    await untilState(store, before, LeafState.DONE);
    await untilNone(waker);
    await untilState(store, await submit(store, "say unannounced"), LeafState.DONE);
    expect(waker.status().brainsStarted).toBe(2);
  });

  test("starts one for a burst of wakes, and tells its process while it lives", async () => {
    const { waker, store, directory } = await openWaker();
    waker.start();
    const go = join(directory, "go");
    const ids: string[] = [];
    for (let i = 0; i < 5; i += 1) {
      ids.push(await submit(store, `until ${go}`));
      for (let hint = 0; hint < 20; hint += 1) waker.wake("submit");
    }
    for (const id of ids) await untilState(store, id, LeafState.RUNNING);
    const [brain] = waker.status().brains;
    expect(counts(waker.status())).toEqual({ brainsStarted: 1, brainsCrashed: 0, live: 1 });
    expect((await store.get(ids[4] ?? ""))?.worker).toMatchObject({ name: brain?.name, pid: BigInt(brain?.pid ?? 0) });
    await writeFile(go, "");
    for (const id of ids) await untilState(store, id, LeafState.DONE);
    expect(waker.status().brainsStarted).toBe(1);
  });

  test("loses no wake of work that arrives while a brain is on its way out", async () => {
    const { waker, store } = await openWaker();
    waker.start();
    for (let i = 0; i < 6; i += 1) {
      const id = await submit(store, `say ${i}`);
      waker.wake("submit");
      await untilState(store, id, LeafState.DONE);
    }
    await untilNone(waker);
    expect(waker.status().brainsCrashed).toBe(0);
  });

  test("starts one when a retry falls due, without being told", async () => {
    const { waker, store } = await openWaker();
    const id = await submit(store, "say again");
    const failure = create(FailureSchema, { reason: FailureReason.MODEL_UNAVAILABLE, retryable: true });
    await store.retry(await claimed(store), failure, Date.now() + 300, []);
    waker.start();
    await untilState(store, id, LeafState.DONE);
    expect((await store.get(id))?.claims).toBe(2);
    expect(waker.status().brainsStarted).toBe(1);
  });

  test("starts one when the lease of a foreign brain that is gone ends", async () => {
    const { waker, store } = await openWaker();
    const id = await submit(store, "say taken over");
    await claimed(store, workerNamed("ghost"), 300);
    waker.start();
    await untilState(store, id, LeafState.DONE);
    expect((await store.get(id))?.claims).toBe(2);
  });

  test("leaves a foreign brain that lives alone", async () => {
    const { waker, store } = await openWaker();
    await submit(store, "say mine");
    const claim = await claimed(store, workerNamed("foreign"));
    waker.start();
    await store.waitForWork(100, new AbortController().signal);
    expect(waker.status().brainsStarted).toBe(0);
    await store.append(claim, []);
  });
});

describe("a waker that stops", () => {
  test("lets its brain hand back what it holds, and leaves no process", async () => {
    const { waker, store } = await openWaker();
    waker.start();
    const id = await submit(store, "hold");
    await untilState(store, id, LeafState.RUNNING);
    const pid = waker.status().brains[0]?.pid ?? 0;
    const ticks = processStartTicks(pid) ?? "";
    expect(isSameProcess(pid, ticks)).toBe(true);
    await waker.stop();
    expect(isSameProcess(pid, ticks)).toBe(false);
    expect(waker.status()).toMatchObject({ brains: [], brainsCrashed: 0 });
    const last = (await store.events(id, 0n, 10)).at(-1)?.event;
    expect(last).toMatchObject({ value: { state: LeafState.SUSPENDED, note: "brain drained" } });
    await waker.stop();
  });

  test("kills a brain that does not end, and takes its leaf back", async () => {
    const { waker, store } = await openWaker({ env: { BRAIN_MODE: "stubborn" }, graceMs: 50 });
    waker.start();
    const id = await submit(store, "say never");
    await untilState(store, id, LeafState.RUNNING);
    const pid = waker.status().brains[0]?.pid ?? 0;
    const ticks = processStartTicks(pid) ?? "";
    await waker.stop();
    expect(isSameProcess(pid, ticks)).toBe(false);
    const last = (await store.events(id, 0n, 10)).at(-1)?.event;
    expect(last).toMatchObject({ value: { state: LeafState.SUSPENDED, note: "brain killed by SIGKILL" } });
  });

  test("leaves nothing behind that a brain had started", async () => {
    const script = `sleep 600 & echo $! > "$DIRECTORY/stray"; exec "$NODE" "$BRAIN"`;
    const env = { NODE: process.execPath, BRAIN: SCRIPTED_BRAIN };
    const { waker, store, directory } = await openWaker({ command: ["/bin/sh", "-c", script], env });
    waker.start();
    await untilState(store, await submit(store, "hold"), LeafState.RUNNING);
    const pid = Number(await readFile(join(directory, "stray"), "utf8"));
    const ticks = processStartTicks(pid) ?? "";
    expect(isSameProcess(pid, ticks)).toBe(true);
    await waker.stop();
    await vi.waitFor(() => expect(isSameProcess(pid, ticks)).toBe(false));
  });

  test("in the middle of a back-off does not wait for its end", async () => {
    const { waker, store } = await openWaker({ env: { BRAIN_MODE: "crash" }, restart: AN_HOUR });
    waker.start();
    await submit(store, "say never");
    await vi.waitFor(() => expect(waker.status().brainsCrashed).toBe(1), { timeout: 20_000, interval: 10 });
    await waker.stop();
    waker.wake("submit");
    await new Promise((resolve) => setImmediate(resolve));
    expect(waker.status().brainsStarted).toBe(1);
  });
});

describe("a brain that can't be used", () => {
  const refusing = ["/bin/sh", "-c", `echo "HANDS_URL is \\"x\\": it must be unix:/path" >&2; exit 64`] as [string, ...string[]];

  test("for its settings is told of in the logs of the leaves that wait for it, and at /health, until one works", async () => {
    const { waker, store, directory } = await openWaker({
      command: ["/bin/sh", "-c", `[ -e "$DIRECTORY/mended" ] && exec "$NODE" "$BRAIN"; ${refusing[2]}`],
      env: { NODE: process.execPath, BRAIN: SCRIPTED_BRAIN },
    });
    const id = await submit(store, "say at last");
    waker.start();
    const { origin } = await openDoor({ store, waker });
    await untilState(store, id, LeafState.SUSPENDED);
    const problem = expect.stringContaining(`a setting of it can't be used. HANDS_URL is "x": it must be unix:/path`);
    const told = (await store.events(id, 0n, 10)).at(-1)?.event.value;
    expect(told).toMatchObject({ note: problem });
    expect((await store.get(id))?.failedAttempts).toBe(0);
    expect(await askHttp1(origin, "/health", { headers: AUTHORIZED })).toMatchObject({
      status: 503,
      body: { status: "no_brain", problem },
    });
    await writeFile(join(directory, "mended"), "");
    await untilState(store, id, LeafState.DONE);
    await vi.waitFor(() => expect(waker.status().problem).toBeUndefined(), { timeout: 20_000 });
  });

  test("since there is no such program is told of as well", async () => {
    const { waker, store } = await openWaker({ command: ["/absent/brain"], restart: AN_HOUR });
    const id = await submit(store, "say never");
    waker.start();
    await untilState(store, id, LeafState.SUSPENDED);
    expect((await store.events(id, 0n, 10)).at(-1)?.event.value).toMatchObject({ note: expect.stringContaining("could not be started") });
  });
});
