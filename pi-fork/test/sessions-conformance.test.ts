import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { BACKGROUND_CONTEXT } from "@earendil-works/pi-agent-core";
import {
  type ConformanceCase,
  createSessionRepoConformance,
  createStorageConformance,
  type StorageFixture,
} from "@earendil-works/pi-agent-core/harness/session/testing";
import { type SqliteDatabaseFactory, SqliteSessionRepo, SqliteStorage } from "@earendil-works/pi-session-backend-sqlite-node";
import { STORES } from "@serverless-harness/kit/testing/memory";
import { openSqliteLeafStore } from "@serverless-harness/session/sqlite";
import { claim, submit } from "@serverless-harness/session/testing";
import { describe, test } from "vitest";
import { Connections } from "../sessions/sqlite/connections.ts";

/** Where sessions live, and whether a live owner's fence guards each commit. */
interface Layout {
  readonly oneFile: boolean;
  readonly fenced: boolean;
}

interface Opened {
  readonly repo: SqliteSessionRepo;
  readonly databaseFactory: SqliteDatabaseFactory;
  readonly dispose: () => Promise<void>;
}

/** A repository over our databases in a directory of its own. */
async function openRepo({ oneFile, fenced }: Layout): Promise<Opened> {
  const directory = await mkdtemp(join(STORES, "pi-sessions-"));
  const path = join(directory, "leaf.db");
  const store = fenced ? openSqliteLeafStore(path) : undefined;
  if (store !== undefined) await submit(store);
  const fence = store && (await claim(store)).fence;
  const databaseFactory = new Connections().factory(fence && { fence });
  const repo = new SqliteSessionRepo({ directory, ...(oneFile ? { databasePath: path } : {}), databaseFactory });
  return {
    repo,
    databaseFactory,
    async dispose() {
      await repo.close(BACKGROUND_CONTEXT);
      await store?.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function openStorage(layout: Layout): Promise<StorageFixture> {
  const { repo, databaseFactory, dispose } = await openRepo(layout);
  const session = await repo.create({ id: "session" }, BACKGROUND_CONTEXT);
  await session.close(BACKGROUND_CONTEXT);
  const database = await databaseFactory.openExisting(session.metadata.path);
  const storage = new SqliteStorage(database, { sessionId: "session" });
  return {
    storage,
    async [Symbol.asyncDispose]() {
      await storage.close(BACKGROUND_CONTEXT);
      database.close();
      await dispose();
    },
  };
}

function repoCases(layout: Layout): readonly ConformanceCase[] {
  const disposals: (() => Promise<void>)[] = [];
  return createSessionRepoConformance(
    async () => {
      const { repo, dispose } = await openRepo(layout);
      disposals.push(dispose);
      return repo;
    },
    () => disposals.pop()?.(),
  );
}

const layouts: Readonly<Record<string, Layout>> = {
  "a file per session": { oneFile: false, fenced: false },
  "one file": { oneFile: true, fenced: false },
  "one file, fenced": { oneFile: true, fenced: true },
};

for (const [name, layout] of Object.entries(layouts)) {
  const suites = { "session repository": repoCases(layout), storage: createStorageConformance(() => openStorage(layout)) };
  for (const [suite, cases] of Object.entries(suites)) {
    describe(`Pi's ${suite} suite, ${name}`, () => {
      for (const each of cases) test(`${each.group}: ${each.name}`, () => each.run());
    });
  }
}
