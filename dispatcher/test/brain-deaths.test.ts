import { LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, test, vi } from "vitest";
import { SCRIPTED_BRAIN, statesOf, untilState } from "./support.ts";
import { AN_HOUR, counts, openWaker, submit } from "./waker-setup.ts";

describe("a brain that dies", () => {
  test("gives its leaf back at once, and the next one ends it", async () => {
    const { waker, store } = await openWaker();
    waker.start();
    const id = await submit(store, "crash once");
    await untilState(store, id, LeafState.DONE);
    expect(await statesOf(store, { leafId: id })).toEqual([
      LeafState.QUEUED,
      LeafState.RUNNING,
      LeafState.SUSPENDED,
      LeafState.RUNNING,
      LeafState.DONE,
    ]);
    const notes = (await store.events(id, 0n, 10)).map(({ event }) => (event.case === "stateChanged" ? event.value.note : ""));
    expect(notes).toContain("brain killed by SIGKILL");
    expect(waker.status()).toMatchObject({ brainsStarted: 2, brainsCrashed: 1 });
  });

  test("is told by its exit code", async () => {
    const { waker, store } = await openWaker();
    waker.start();
    const id = await submit(store, "exit 3 once");
    await untilState(store, id, LeafState.DONE);
    const notes = (await store.events(id, 0n, 10)).map(({ event }) => (event.case === "stateChanged" ? event.value.note : ""));
    expect(notes).toContain("brain exited with code 3");
  });

  test("gives its leaf back even where it calls that a clean exit", async () => {
    const { waker, store } = await openWaker();
    waker.start();
    const id = await submit(store, "exit 0 once");
    await untilState(store, id, LeafState.DONE);
    expect(waker.status()).toMatchObject({ brainsStarted: 2, brainsCrashed: 0 });
  });

  test("has its last words in the log, line by line, with its name", async () => {
    const { waker, store, logged } = await openWaker();
    waker.start();
    const id = await submit(store, "crash once");
    await untilState(store, id, LeafState.DONE);
    const first = (await store.events(id, 0n, 10)).flatMap(({ event }) =>
      event.case === "stateChanged" && event.value.worker !== undefined ? [event.value.worker.name] : [],
    )[0];
    await waker.stop();
    const lines = (await logged()).filter((line) => line["brain"] === first);
    expect(lines).toMatchObject(
      expect.arrayContaining([
        expect.objectContaining({ name: "brain", leaf: id, msg: "act", stream: "stdout", level: 30 }),
        expect.objectContaining({ msg: "half a line on stdout", stream: "stdout", name: "brain" }),
        expect.objectContaining({ msg: "Error: the brain met its end", stream: "stderr", level: 40 }),
        expect.objectContaining({ msg: "    at the last line", stream: "stderr" }),
      ]),
    );
  });

  test("again and again is not started without a pause, whatever is submitted", async () => {
    const { waker, store } = await openWaker({ env: { BRAIN_MODE: "crash" }, restart: AN_HOUR });
    waker.start();
    await submit(store, "say never");
    await vi.waitFor(() => expect(waker.status().brainsCrashed).toBe(1), { timeout: 20_000, interval: 10 });
    for (let i = 0; i < 10; i += 1) {
      await submit(store, "say never");
      waker.wake("submit");
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(counts(waker.status())).toEqual({ brainsStarted: 1, brainsCrashed: 1, live: 0 });
  });

  test("is replaced until it stays", async () => {
    const script = `echo x >> "$DIRECTORY/tries"; [ $(wc -l < "$DIRECTORY/tries") -gt 5 ] && exec "$NODE" "$BRAIN"; exit 7`;
    const env = { NODE: process.execPath, BRAIN: SCRIPTED_BRAIN };
    const { waker, store } = await openWaker({ command: ["/bin/sh", "-c", script], env, restart: { baseMs: 1, maxMs: 1 } });
    waker.start();
    const id = await submit(store, "say at last");
    await untilState(store, id, LeafState.DONE);
    expect(waker.status().brainsCrashed).toBe(5);
  });

  test("before it takes anything up, three times in a row, is told to all that wait, and to whoever asks", async () => {
    const { waker, store } = await openWaker({ env: { BRAIN_MODE: "crash" }, restart: { baseMs: 1, maxMs: 1 } });
    waker.start();
    const id = await submit(store, "say never");
    await untilState(store, id, LeafState.SUSPENDED);
    const problem = /^\d+ brains died in a row, the last one killed by SIGKILL; the log of the brains has the cause/;
    expect(waker.status()).toMatchObject({ problem: expect.stringMatching(problem) });
    const notes = (await store.events(id, 0n, 10)).flatMap(({ event }) => (event.case === "stateChanged" ? [event.value.note] : []));
    expect(notes.at(-1)).toMatch(/^no brain can work: \d+ brains died in a row/);
    expect(await store.get(id)).toMatchObject({ failedAttempts: 0 });
  });

  test("while it works, again and again, is a problem too, and each death stands in its leaf's log", async () => {
    const { waker, store } = await openWaker({ restart: { baseMs: 1, maxMs: 1 } });
    const poison = await submit(store, "crash");
    waker.start();
    await vi.waitFor(() => expect(waker.status().problem).toMatch(/^\d+ brains died in a row/), { timeout: 60_000, interval: 5 });
    const notes = (await store.events(poison, 0n, 100)).flatMap(({ event }) => (event.case === "stateChanged" ? [event.value.note] : []));
    expect(notes.filter((note) => note === "brain killed by SIGKILL").length).toBeGreaterThanOrEqual(3);
    expect(notes.join()).not.toContain("no brain can work");
  });

  test("without looking at the queue is not started for ever", async () => {
    const { waker, store } = await openWaker({ env: { BRAIN_MODE: "blind" }, restart: AN_HOUR });
    waker.start();
    await submit(store, "say never");
    await vi.waitFor(() => expect(counts(waker.status())).toEqual({ brainsStarted: 4, brainsCrashed: 0, live: 0 }), { timeout: 20_000 });
    waker.wake("submit");
    await new Promise((resolve) => setImmediate(resolve));
    expect(waker.status()).toMatchObject({ brainsStarted: 4, problem: expect.stringContaining("without taking up what waits") });
  });

  test("because there is no such program harms nobody", async () => {
    const { waker, store } = await openWaker({ command: ["/nowhere/brain"], restart: AN_HOUR });
    waker.start();
    const id = await submit(store, "say never");
    await vi.waitFor(() => expect(counts(waker.status())).toEqual({ brainsStarted: 1, brainsCrashed: 1, live: 0 }));
    // It waits, and burns no attempt: its log says for what.
    await untilState(store, id, LeafState.SUSPENDED);
    expect(await store.get(id)).toMatchObject({ failedAttempts: 0 });
  });
});
