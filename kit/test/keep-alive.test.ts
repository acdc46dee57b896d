import { expect, test } from "vitest";
import { keptAlive } from "../keep-alive.ts";

const EMPTY = { empty: true };

/** A stream that is given what it brings. */
function given() {
  const waiting: Array<{ readonly value: object } | { readonly error: Error }> = [];
  let wake = Promise.withResolvers<void>();
  let isOver = false;
  const give = (what: (typeof waiting)[number] | undefined): void => {
    if (what === undefined) isOver = true;
    else waiting.push(what);
    wake.resolve();
  };
  async function* stream(): AsyncGenerator<object> {
    for (;;) {
      const next = waiting.shift();
      if (next === undefined && isOver) return;
      if (next === undefined) await wake.promise.then(() => (wake = Promise.withResolvers()));
      else if ("error" in next) throw next.error;
      else yield next.value;
    }
  }
  return { stream: stream(), give };
}

/** What comes of it; with each message without content the next thing is given. */
async function taken(things: ReadonlyArray<Parameters<ReturnType<typeof given>["give"]>[0]>) {
  const { stream, give } = given();
  const rest = [...things];
  const all: object[] = [];
  for await (const message of keptAlive(stream, EMPTY, 5)) {
    all.push(message);
    if (message === EMPTY) give(rest.shift());
  }
  return all;
}

test("a stream that is silent brings messages without content between its own, each of which comes once and in order", async () => {
  const [a, b] = [{ a: 1 }, { b: 2 }];
  expect(await taken([{ value: a }, { value: b }, undefined])).toEqual([EMPTY, a, EMPTY, b, EMPTY]);
});

test("it fails as the stream does, after a silence too", async () => {
  await expect(taken([{ error: new Error("broken") }])).rejects.toThrow("broken");
});

test("a reader that leaves ends the stream", async () => {
  const ended = Promise.withResolvers<void>();
  async function* stream(): AsyncGenerator<object> {
    try {
      for (;;) yield {};
    } finally {
      ended.resolve();
    }
  }
  for await (const _ of keptAlive(stream(), EMPTY, 60_000)) break;
  await ended.promise;
});
