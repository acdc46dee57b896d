import { mkdir } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { JsonlSessionRepo, MemorySessionRepo, type Session, type Storage, type Write } from "@earendil-works/pi-agent-core";
import { BACKGROUND_CONTEXT as CONTEXT } from "@earendil-works/pi-agent-core/harness/context";
import { NodeExecutionEnv } from "@earendil-works/pi-agent-core/harness/env/nodejs";
import { createNodeSqliteFactory, SqliteSessionRepo } from "@earendil-works/pi-session-backend-sqlite-node";
import { LeafKind, LeafSpecSchema, WorkerSchema } from "@serverless-harness/proto/leaf";
import { type Fence, openLeafStore, parseStoreUrl, sessionKey } from "@serverless-harness/session";
import { Database } from "@serverless-harness/session/redis";
import { RedisServer } from "@serverless-harness/session/testing/redis";
import { openPiSessions } from "../../pi-fork/sessions/open.ts";
import { RedisSessionRepo } from "../../pi-fork/sessions/redis/repo.ts";
import { nameOfId, SessionKeys } from "../../pi-fork/sessions/redis/session-keys.ts";
import { RedisStorage } from "../../pi-fork/sessions/redis/storage.ts";
import type { Scratch } from "../parts/process.ts";

/** Where sessions are kept: ours, or a baseline. */
export interface Place {
  /** As it stands in the names of rows. */
  readonly name: string;
  /** Storages of new, empty sessions. */
  storages(count: number): Promise<Storage[]>;
  close(): Promise<void>;
}

/** A place of ours, whose sessions have an owner as every leaf's have. */
export interface OwnedPlace extends Place {
  /** Open the session of one of its storages, as a brain does that claimed a leaf of it. */
  open(storage: Storage): Promise<Session>;
  /** Bytes that the database sent since it began. */
  bytesSent(): Promise<number>;
}

/** Our sessions in a Redis of its own, which syncs its file as `fsync` says: every second, or with every commit. */
export async function redisPlace(fsync: "everysec" | "always"): Promise<OwnedPlace> {
  const server = await RedisServer.start("--appendfsync", fsync);
  const address = parseStoreUrl(server.url());
  if (address.kind !== "redis") throw new Error("no address of a Redis");
  const store = await openLeafStore(server.url());
  const database = await Database.open(address.redis);
  const sessions = openPiSessions(server.url());
  let made = 0;
  const owners = new WeakMap<Storage, Fence>();
  const make = async (): Promise<Storage> => {
    const spec = create(LeafSpecSchema, { tenant: "bench", sessionId: `s${made++}`, kind: LeafKind.TURN, prompt: "p" });
    await store.submit({ spec, idempotencyKey: "" });
    const claim = await store.claim(create(WorkerSchema, { name: "bench" }), 3_600_000);
    if (claim === undefined) throw new Error("nothing to claim");
    const { fence } = claim;
    const id = sessionKey(fence);
    await (await new RedisSessionRepo({ database, fence }).create({ id }, CONTEXT)).close(CONTEXT);
    const storage = new RedisStorage(new SessionKeys(database, nameOfId(id), fence), Date.now);
    owners.set(storage, fence);
    return storage;
  };
  return {
    name: fsync,
    open: (storage) => {
      const fence = owners.get(storage);
      if (fence === undefined) throw new Error("the storage is none of this place");
      return sessions.open(fence);
    },
    storages: (count) => inTurn(count, make),
    bytesSent: async () => Number(/total_net_output_bytes:(\d+)/.exec(await database.client.info("stats"))?.[1]),
    async close() {
      await sessions.close();
      database.close();
      await store.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Pi's own SQLite backend, a database for all sessions. */
export async function sqlitePlace(files: Scratch): Promise<Place> {
  const directory = files.path("sqlite");
  await mkdir(directory);
  const databasePath = files.path("sqlite", "sessions.db");
  const repo = new SqliteSessionRepo({ directory, databasePath, databaseFactory: createNodeSqliteFactory() });
  return place(
    "sqlite",
    () => repo.create({}, CONTEXT).then(storageWithin),
    () => repo.close(CONTEXT),
  );
}

/** Pi's files of lines. */
export async function jsonlPlace(files: Scratch): Promise<Place> {
  const cwd = files.path();
  const repo = new JsonlSessionRepo({ fileSystem: new NodeExecutionEnv({ cwd }), sessionsRoot: files.path("jsonl") });
  return place(
    "jsonl",
    () => repo.create({ cwd }, CONTEXT).then(storageWithin),
    () => repo.close(CONTEXT),
  );
}

/** Pi's sessions in memory: the floor. */
export function memoryPlace(): Place {
  const repo = new MemorySessionRepo();
  return place(
    "memory",
    () => repo.create({}, CONTEXT).then(storageWithin),
    async () => undefined,
  );
}

/** Make all these commits. */
export async function fill(storage: Storage, commits: Iterable<Write[]>): Promise<void> {
  for (const writes of commits) await storage.commit(writes, CONTEXT);
}

function place(name: string, make: () => Promise<Storage>, close: () => Promise<void>): Place {
  return { name, storages: (count) => inTurn(count, make), close };
}

async function inTurn<T>(count: number, make: () => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  for (let i = 0; i < count; i++) made.push(await make());
  return made;
}

/** Pi's repositories hand out sessions only, and what is compared here is the storage below. */
export function storageWithin(session: object): Storage {
  const inner = Object.values(session).find((value): value is object => typeof value === "object" && value !== null && "storage" in value);
  const holder = "storage" in session ? session : inner;
  if (holder === undefined || !("storage" in holder)) throw new Error("Pi's session holds its storage elsewhere now");
  return holder.storage as Storage;
}
