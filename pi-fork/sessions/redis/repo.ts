import {
  branchTip,
  type Context,
  createForkSnapshot,
  type ForkOptions,
  type Session,
  type SessionCreateOptions,
  type SessionMetadata,
  type SessionRepo,
  StorageBackedSession,
} from "@earendil-works/pi-agent-core";
import { uuidv7 } from "@earendil-works/pi-ai";
import type { Fence } from "@serverless-harness/session";
import { type Argument, callId, type Database, encode, list, type Reply, sessionName, text } from "@serverless-harness/session/redis";
import type { LeafEvents } from "../contract/leaf-events.ts";
import { encodeEntry } from "./codec.ts";
import { begin } from "./import.ts";
import { OpenSession } from "./open-session.ts";
import { nameOfId, SessionKeys, sessionNames } from "./session-keys.ts";
import { RedisStorage } from "./storage.ts";

/** Version of what a session's keys hold. */
export const REDIS_STORAGE_VERSION = 1;

/** Entries and values that one script of a copy writes. */
const RESTORE_BATCH = 200;

/** How a {@link RedisSessionRepo} works. */
export interface RedisSessionRepoOptions {
  readonly database: Database;
  /** Guards every write; the repository then serves the fence's session only. Default: none. */
  readonly fence?: Fence;
  /** Of the leaf that runs on the fence's session: they are written with its commits. Default: none. */
  readonly events?: LeafEvents | undefined;
  /** Milliseconds since the Unix epoch. Default `Date.now`. */
  readonly now?: () => number;
  /** Called when a session was closed. */
  readonly onClose?: () => void;
}

/** Pi's sessions in Redis, each in the partition of its leaves. */
export class RedisSessionRepo implements SessionRepo {
  readonly #database: Database;
  readonly #fence: Fence | undefined;
  readonly #events: LeafEvents | undefined;
  readonly #now: () => number;
  /** Sessions that this repository opens or has open; those that are open with their storage. */
  readonly #reserved = new Map<string, { session: OpenSession; storage: RedisStorage } | undefined>();
  readonly #onClose: () => void;
  #closed = false;

  constructor({ database, fence, events, now = Date.now, onClose = () => undefined }: RedisSessionRepoOptions) {
    this.#onClose = onClose;
    this.#database = database;
    this.#fence = fence;
    this.#events = events;
    this.#now = now;
  }

  async create({ id, parentSessionId }: SessionCreateOptions = {}, _context: Context): Promise<Session> {
    const createdAt = this.#now();
    return this.#reserve(id ?? uuidv7(createdAt), (each, keys) => this.#create(keys, each, createdAt, parentSessionId, 1));
  }

  async open({ id }: SessionMetadata, _context: Context): Promise<Session> {
    return this.#reserve(id, async (_, keys) => {
      const metadata = await this.find(id);
      if (metadata === undefined) throw new Error(`there is no session ${id}`);
      return this.#attach(keys, metadata);
    });
  }

  /** What is known of a session, or `undefined` if there is none. Throws `stale_epoch` as every write. */
  async find(id: string): Promise<SessionMetadata | undefined> {
    return metadataOf(await this.#keys(id).write("open"));
  }

  async list(_options: undefined, _context: Context): Promise<SessionMetadata[]> {
    this.#assertOpen();
    const perPartition = this.#database.names.all().map((partition) => sessionNames(this.#database, partition));
    const names = (await Promise.all(perPartition)).flat();
    const found = await Promise.all(names.map((name) => new SessionKeys(this.#database, name, undefined).write("open").then(metadataOf)));
    return found.filter((metadata) => metadata !== undefined).sort((a, b) => b.createdAt - a.createdAt);
  }

  async delete({ id }: SessionMetadata, _context: Context): Promise<void> {
    await this.#reserve(id, (_, keys) => deleteAll(keys, "1"));
    this.#reserved.delete(id);
  }

  async fork(source: SessionMetadata, options: ForkOptions, _context: Context): Promise<Session> {
    const createdAt = this.#now();
    const active = this.#reserved.get(source.id)?.storage;
    // A fence guards what is written; the other session is only read.
    const keys = new SessionKeys(this.#database, nameOfId(source.id), undefined);
    const storage = active ?? new RedisStorage(keys, this.#now);
    // Between two commits of this process; another process that commits meanwhile is noticed.
    const snapshot = storage.inTurn(() => settledSnapshot(storage, options));
    snapshot.catch(() => undefined);
    return this.#reserve(options.id ?? uuidv7(createdAt), async (id, own) => {
      if (active === undefined && metadataOf(await keys.write("open")) === undefined) throw new Error(`there is no session ${source.id}`);
      const { entries, scalarValues, nextSeq } = await snapshot;
      const token = callId();
      await begin(own, token);
      const parts = [
        ...[...entries.values()]
          .sort((a, b) => a.seq - b.seq)
          .map((entry): Argument[] => {
            const [entryId = "", parent = "", type = "", custom = "", body = ""] = encodeEntry(entry, entry.timestamp);
            return ["e", entry.seq, entryId, parent, entry.timestamp, type, custom, body];
          }),
        ...scalarValues.map(({ address, seq, value }): Argument[] => [
          "v",
          seq,
          encode(address.namespace),
          address.key,
          JSON.stringify(value),
        ]),
      ];
      for (let i = 0; i < parts.length; i += RESTORE_BATCH)
        await own.write("restore", token, callId(), ...parts.slice(i, i + RESTORE_BATCH).flat());
      return this.#create(own, id, createdAt, source.id, nextSeq, token);
    });
  }

  /** Close every session that is open. Idempotent. */
  async close(context: Context): Promise<void> {
    this.#closed = true;
    const open = [...this.#reserved.values()].flatMap((each) => each?.session ?? []);
    const closed = await Promise.allSettled(open.map((session) => session.close(context)));
    const errors = closed.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    if (errors.length > 0) throw new AggregateError(errors, "not every session was closed in order");
  }

  /** Run `work` with an id that nobody else of this repository has open; it stays taken until the session that comes of it is closed. */
  async #reserve<T>(id: string, work: (id: string, keys: SessionKeys) => Promise<T>): Promise<T> {
    this.#assertOpen();
    if (this.#reserved.has(id)) throw new Error(`session ${id} is open already`);
    this.#reserved.set(id, undefined);
    try {
      return await work(id, this.#keys(id));
    } catch (error) {
      this.#reserved.delete(id);
      throw error;
    }
  }

  async #create(
    keys: SessionKeys,
    id: string,
    createdAt: number,
    parent: string | undefined,
    nextSeq: number,
    token = callId(),
  ): Promise<Session> {
    const create = (): Promise<Reply> => keys.write("create", id, createdAt, parent ?? "", nextSeq, token);
    const created = metadataOf(
      await create().catch(async (error: unknown) => {
        if (!(error instanceof Error) || !error.message.startsWith("LEFTOVERS")) throw error;
        await deleteAll(keys, "");
        return create();
      }),
    );
    if (created === undefined) throw new Error(`session ${id} was made and is not there`);
    return this.#attach(keys, created);
  }

  #attach(keys: SessionKeys, metadata: SessionMetadata): Session {
    const storage = new RedisStorage(keys, this.#now, { events: this.#events });
    const session = new OpenSession(new StorageBackedSession(metadata, storage), () => {
      this.#reserved.delete(metadata.id);
      this.#onClose();
    });
    this.#reserved.set(metadata.id, { session, storage });
    return session;
  }

  #keys(id: string): SessionKeys {
    const fence = this.#fence;
    const name = fence === undefined ? nameOfId(id) : sessionName(fence.tenant, fence.sessionId);
    return new SessionKeys(this.#database, name, fence);
  }

  #assertOpen(): void {
    if (this.#closed) throw new Error("the session repository is closed");
  }
}

/**
 * What a copy begins with. A whole tree is read while nobody commits; a branch hangs on its tip, and what that stands on never changes, so others may
 * write on meanwhile.
 */
async function settledSnapshot(storage: RedisStorage, options: ForkOptions): Promise<ReturnType<typeof createForkSnapshot>> {
  for (;;) {
    const before = await storage.nextSeq();
    const scalarValues = await storage.allValues();
    const tip = options.scope === "branch" ? scalarValues.find(({ address }) => isTipOf(address, options.branch)) : undefined;
    if (options.scope === "branch" && tip === undefined) throw new Error(`there is no branch ${options.branch}`);
    const entries =
      options.scope === "tree"
        ? await storage.scanEntries({ order: "asc" })
        : typeof tip?.value === "string"
          ? await storage.scanBranch({ start: tip.value, order: "oldestFirst" })
          : [];
    if (options.scope === "tree" && (await storage.nextSeq()) !== before) continue;
    return createForkSnapshot({ entries, scalarValues, entriesComplete: options.scope === "tree" }, options);
  }
}

function isTipOf(address: { namespace: string; key: string }, branch: string): boolean {
  const tip = branchTip(branch);
  return address.namespace === tip.namespace && address.key === tip.key;
}

async function deleteAll(keys: SessionKeys, mustExist: string): Promise<void> {
  let more = text(await keys.write("delete", mustExist));
  while (more === "1") more = text(await keys.write("delete", ""));
}

function metadataOf(reply: Reply): SessionMetadata | undefined {
  const [id, created, parent, version] = list(reply);
  if (id === null) return undefined;
  if (Number(text(version)) !== REDIS_STORAGE_VERSION) {
    throw new Error(`session ${text(id)} has storage version ${text(version)}, this one knows ${REDIS_STORAGE_VERSION}`);
  }
  const parentSessionId = text(parent);
  const metadata = { id: text(id), createdAt: Number(text(created)), storageVersion: REDIS_STORAGE_VERSION };
  return parentSessionId === "" ? metadata : { ...metadata, parentSessionId };
}
