import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { Connection, openDatabase } from "../sqlite/index.ts";
import { assertFence } from "../sqlite/ownership.ts";
import { openSqliteLeafStore, type SqliteLeafStore } from "../sqlite/store.ts";
import { claim, submit } from "../testing/build.ts";

const stale = expect.objectContaining({ reason: "stale_epoch" });

async function open(): Promise<{ store: SqliteLeafStore; connection: Connection }> {
  const path = join(await temporaryDirectory(), "leaf.db");
  const store = openSqliteLeafStore(path);
  const connection = new Connection(openDatabase(path));
  onTestFinished(async () => {
    connection.close();
    await store.close();
  });
  return { store, connection };
}

test("only the session's newest epoch passes the fence", async () => {
  const { store, connection } = await open();
  await submit(store, { sessionId: "s" });
  const first = await claim(store);
  expect(() => assertFence(connection.db, first.fence)).not.toThrow();
  await store.release(first, "");
  const second = await claim(store);
  expect(() => assertFence(connection.db, second.fence)).not.toThrow();
  expect(() => assertFence(connection.db, first.fence)).toThrow(stale);
  for (const change of [{ epoch: 3n }, { epoch: 0n }, { tenant: "b" }, { sessionId: "t" }]) {
    expect(() => assertFence(connection.db, { ...second.fence, ...change })).toThrow(stale);
  }
});

test("a transaction that a stale owner began leaves nothing behind", async () => {
  const { store, connection } = await open();
  await submit(store, { sessionId: "s" });
  const held = await claim(store);
  await store.release(held, "");
  await claim(store);
  connection.db.exec("CREATE TABLE notes (text TEXT)");
  const write = (): void =>
    connection.transaction(() => {
      connection.run("INSERT INTO notes VALUES (?)", "stale");
      assertFence(connection.db, held.fence);
    });
  expect(write).toThrow(stale);
  expect(connection.all("SELECT * FROM notes")).toEqual([]);
  // The lock is free again for everybody.
  await submit(store);
});

test("a lock that is never released is told as a busy store", async () => {
  const { store, connection } = await open();
  const other = new Connection(openDatabase(connection.db.location() ?? ""));
  onTestFinished(() => other.close());
  connection.db.exec("PRAGMA busy_timeout = 10");
  other.transaction(() => {
    expect(() => connection.transaction(() => undefined)).toThrow(expect.objectContaining({ reason: "store_busy" }));
  });
  await submit(store);
});
