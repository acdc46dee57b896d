import { Code } from "@connectrpc/connect";
import { BACKGROUND_CONTEXT, type Session } from "@earendil-works/pi-agent-core";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Fence, type RedisAddress, sessionKey } from "@serverless-harness/session";
import type { Database } from "@serverless-harness/session/redis";
import type { Expiry } from "../archive/file.ts";
import { type Forked, forkSession, tipOf } from "../contract/fork.ts";
import type { LeafEvents } from "../contract/leaf-events.ts";
import type { PiSessions, SessionName } from "../contract/sessions.ts";
import type { RedisSessionRepo } from "./repo.ts";

/** Pi's sessions in the Redis leaf store, each in the partition of its leaves. */
export class RedisPiSessions implements PiSessions {
  readonly #address: RedisAddress;
  /** One repository per owner, because its fence guards all that a repository writes. */
  readonly #open = new Map<string, RedisSessionRepo | undefined>();
  #database: Promise<Database> | undefined;
  #closing: Promise<void> | undefined;

  /** Nothing is connected before the first session is opened. */
  constructor(address: RedisAddress) {
    this.#address = address;
  }

  async open(fence: Fence, events?: LeafEvents): Promise<Session> {
    if (this.#closing !== undefined) throw closed();
    const owner = `${JSON.stringify([fence.tenant, fence.sessionId])}@${fence.epoch}`;
    if (this.#open.has(owner)) {
      throw new HarnessError(Code.FailedPrecondition, "session_open", "this owner has the session open already: close it first");
    }
    this.#open.set(owner, undefined);
    try {
      const { RedisSessionRepo } = await import("./repo.ts");
      const repo = new RedisSessionRepo({ database: await this.#connect(), fence, events, onClose: () => this.#open.delete(owner) });
      const id = sessionKey(fence);
      const known = await repo.find(id);
      const session = known === undefined ? await createOrOpen(repo, id) : await repo.open(known, BACKGROUND_CONTEXT);
      this.#open.set(owner, repo);
      if (this.#closing === undefined) return session;
      await session.close(BACKGROUND_CONTEXT);
      throw closed();
    } catch (error) {
      this.#open.delete(owner);
      throw error;
    }
  }

  async fork(from: SessionName, entryId: string, fence: Fence): Promise<Forked> {
    const [database, { REDIS_STORAGE_VERSION, RedisSessionRepo }] = await Promise.all([this.#opened(), import("./repo.ts")]);
    const repos = { reader: new RedisSessionRepo({ database }), owner: new RedisSessionRepo({ database, fence }) };
    const read = async (repo: RedisSessionRepo, id: string): Promise<Session | undefined> => {
      const known = await repo.find(id);
      return known === undefined ? undefined : repo.open(known, BACKGROUND_CONTEXT);
    };
    const [own, other] = [sessionKey(fence), sessionKey(from)];
    const source = { id: other, createdAt: 0, storageVersion: REDIS_STORAGE_VERSION };
    return forkSession(
      {
        own: () => read(repos.owner, own),
        other: () => read(repos.reader, other),
        copy: (last) =>
          repos.owner.fork(source, { scope: "branch", branch: "main", entryId: last, position: "at", id: own }, BACKGROUND_CONTEXT),
      },
      entryId,
    );
  }

  async has(name: SessionName): Promise<boolean> {
    const [database, { RedisSessionRepo }] = await Promise.all([this.#opened(), import("./repo.ts")]);
    const repo = new RedisSessionRepo({ database });
    const known = await repo.find(sessionKey(name));
    if (known === undefined) return false;
    const session = await repo.open(known, BACKGROUND_CONTEXT);
    return (await tipOf(session).finally(() => session.close(BACKGROUND_CONTEXT))) !== null;
  }

  async *exportSession({ tenant, sessionId }: SessionName): AsyncGenerator<string> {
    const { exportSession } = await import("./archives.ts");
    yield* exportSession(await this.#opened(), sessionKey({ tenant, sessionId }));
  }

  async importSession({ tenant, sessionId }: SessionName, lines: AsyncIterable<string>): Promise<void> {
    const { importSession } = await import("./archives.ts");
    await importSession(await this.#opened(), sessionKey({ tenant, sessionId }), lines);
  }

  async expireSessions(expiry: Expiry): Promise<string[]> {
    const { expireSessions } = await import("./archives.ts");
    return expireSessions(await this.#opened(), expiry);
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #opened(): Promise<Database> {
    if (this.#closing !== undefined) throw closed();
    return this.#connect();
  }

  async #connect(): Promise<Database> {
    this.#database ??= import("@serverless-harness/session/redis").then(({ Database }) => Database.open(this.#address));
    try {
      return await this.#database;
    } catch (error) {
      // The next one tries again.
      this.#database = undefined;
      throw error;
    }
  }

  async #closeAll(): Promise<void> {
    const database = await this.#database?.catch(() => undefined);
    try {
      const repos = [...this.#open.values()].filter((repo) => repo !== undefined);
      const results = await Promise.allSettled(repos.map((repo) => repo.close(BACKGROUND_CONTEXT)));
      const errors = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
      if (errors.length > 0) throw new AggregateError(errors, "not every session was closed in order");
    } finally {
      database?.close();
    }
  }
}

/** Another process of the same owner may have made it meanwhile. */
async function createOrOpen(repo: RedisSessionRepo, id: string): Promise<Session> {
  try {
    return await repo.create({ id }, BACKGROUND_CONTEXT);
  } catch (error) {
    const known = error instanceof HarnessError ? undefined : await repo.find(id);
    if (known === undefined) throw error;
    return repo.open(known, BACKGROUND_CONTEXT);
  }
}

function closed(): HarnessError {
  return new HarnessError(Code.Unavailable, "store_closed", "the session store was closed in this process");
}
