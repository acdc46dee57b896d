import {
  type CommitResult,
  type Entry,
  type EntryScan,
  type EntryStructure,
  type ListElement,
  type ListReadOptions,
  resolveListReadOptions,
  type SessionStats,
  type Storage,
  type StorageBranchScan,
  type StoredValue,
  type UsageRow,
  type UsageScan,
  type Value,
  type ValueList,
  value,
  type Write,
} from "@earendil-works/pi-agent-core";
import { encode, list, type Reply, text } from "@serverless-harness/session/redis";
import { decodeEntries, decodeStats, decodeStructures } from "./codec.ts";
import type { SessionKeys } from "./session-keys.ts";
import { Writer, type WriterOptions } from "./writer.ts";

/** What one script or command reads at the most. */
const PAGE = 500;

/** One of Pi's sessions in Redis: each commit is one step, each read goes in pages of some 500 entries or 1 MiB. */
export class RedisStorage implements Storage {
  readonly #keys: SessionKeys;
  readonly #writer: Writer;
  #open = true;

  constructor(keys: SessionKeys, now: () => number, options: WriterOptions = {}) {
    this.#keys = keys;
    this.#writer = new Writer(keys, now, options);
  }

  async commit(writes: Write[]): Promise<CommitResult> {
    this.#assertOpen();
    return this.#writer.commit(writes);
  }

  async getEntries(ids: string[]): Promise<Map<string, Entry>> {
    await this.#upToDate();
    const found = new Map<string, Entry>();
    for (let i = 0; i < ids.length; ) {
      const [looked, entries] = list(await this.#keys.read("get", ...ids.slice(i, i + PAGE)));
      for (const entry of decodeEntries(entries)) found.set(entry.id, entry);
      i += Number(looked);
    }
    return found;
  }

  async getValue<T>(address: Value<T>): Promise<StoredValue<T> | undefined> {
    await this.#upToDate();
    const stored = await this.#keys.command("hget", `values:${encode(address.namespace)}`, address.key);
    return stored === null ? undefined : storedValue(address, text(stored));
  }

  async scanValues<T>(prefix: Value<T>): Promise<StoredValue<T>[]> {
    await this.#upToDate();
    return this.#scanSpace(encode(prefix.namespace), prefix.key);
  }

  async readList<T>(address: ValueList<T>, options: ListReadOptions | undefined): Promise<ListElement<T>[]> {
    await this.#upToDate();
    const { cursor, order, limit } = resolveListReadOptions(options);
    const rows = await this.#readStream(`list:${encode(address.namespace)}:${encode(address.key)}`, order, limit, cursor?.seq);
    return rows.map(({ seq, json }) => ({ seq, value: JSON.parse(json) as T }));
  }

  async scanBranch(query: StorageBranchScan): Promise<Entry[]> {
    await this.#upToDate();
    return this.#scanBranch(query, true, decodeEntries);
  }

  async scanBranchStructure(query: StorageBranchScan): Promise<EntryStructure[]> {
    await this.#upToDate();
    return this.#scanBranch(query, false, decodeStructures);
  }

  async scanEntries(query: EntryScan): Promise<Entry[]> {
    await this.#upToDate();
    const found: Entry[] = [];
    const desc = query.order === "desc";
    let [from, to] = [String(query.fromSeq ?? "-inf"), String(query.toSeq ?? "+inf")];
    for (const limit = query.limit ?? Number.MAX_SAFE_INTEGER; found.length < limit; ) {
      const args = [from, to, desc ? "desc" : "asc", query.type ?? "", colon(query.customType), limit - found.length];
      const [next, entries] = list(await this.#keys.read("scan", ...args));
      found.push(...decodeEntries(entries));
      if (text(next) === "") break;
      if (desc) to = `(${text(next)}`;
      else from = `(${text(next)}`;
    }
    return found;
  }

  async scanUsage({ fromSeq, toSeq, order = "asc", limit = Number.MAX_SAFE_INTEGER }: UsageScan): Promise<UsageRow[]> {
    await this.#upToDate();
    const rows = await this.#readStream("usage", order, limit, undefined, fromSeq, toSeq);
    return rows.map(({ seq, json }) => ({ ...(JSON.parse(json) as UsageRow), seq }));
  }

  async getStats(): Promise<SessionStats> {
    await this.#upToDate();
    return decodeStats(list(await this.#keys.read("stats"))[0]);
  }

  /** Throws if something that was acknowledged can't be written. */
  async close(): Promise<void> {
    this.#open = false;
    await this.#writer.close();
  }

  /** Run `work` between two commits of this storage, with everything written that was acknowledged. */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    const flushed = this.#writer.flush();
    const result = this.#writer.inTurn(work);
    result.catch(() => undefined);
    await flushed;
    return result;
  }

  /** Every value of the session. */
  async allValues(): Promise<StoredValue<unknown>[]> {
    const found: StoredValue<unknown>[] = [];
    for (const space of list(await this.#keys.read("spaces"))) found.push(...(await this.#scanSpace(text(space), "")));
    return found.sort((a, b) => a.seq - b.seq);
  }

  /** Addresses of the session's lists. */
  async listNames(): Promise<{ namespace: string; key: string }[]> {
    return list(await this.#keys.command("smembers", "lists")).map((name) => {
      const [namespace = "", key = ""] = text(name).split(":").map(decodeURIComponent);
      return { namespace, key };
    });
  }

  /** Addresses of the session's values in the order of their numbers. */
  async valueIndex(): Promise<{ seq: number; namespace: string; key: string }[]> {
    const index: { seq: number; namespace: string; key: string }[] = [];
    for (const space of list(await this.#keys.read("spaces"))) {
      const namespace = decodeURIComponent(text(space));
      for await (const [key, stored] of this.#valuesOf(text(space), "")) index.push({ seq: Number.parseInt(stored, 10), namespace, key });
    }
    return index.sort((a, b) => a.seq - b.seq);
  }

  /** The sequence number that the next commit gets: it changes with every one. */
  async nextSeq(): Promise<string> {
    return text(list(await this.#keys.read("stats"))[1]);
  }

  async #scanBranch<T>(query: StorageBranchScan, whole: boolean, decode: (shown: Reply | undefined) => T[]): Promise<T[]> {
    const found: T[] = [];
    const order = query.order === "oldestFirst" ? "oldestFirst" : "newestFirst";
    const { start, cursor, stopAtType = "", stopAtId, type = "", customType, limit = Number.MAX_SAFE_INTEGER } = query;
    for (let next = ""; found.length < limit; ) {
      const stops = [stopAtType, colon(stopAtId), type, colon(customType)];
      const args = [start, order, cursor?.seq ?? "", ...stops, limit - found.length, whole ? "1" : "", next];
      const [more, entries] = list(await this.#keys.read("branch", ...args));
      found.push(...decode(entries));
      next = text(more);
      if (next === "") break;
    }
    return found;
  }

  async #scanSpace<T>(space: string, prefix: string): Promise<StoredValue<T>[]> {
    const found: StoredValue<T>[] = [];
    const namespace = decodeURIComponent(space);
    for await (const [name, stored] of this.#valuesOf(space, prefix)) found.push(storedValue(value<T>(namespace, name), stored));
    return found;
  }

  /** Names and contents of a space's values, a page at a time. */
  async *#valuesOf(space: string, prefix: string): AsyncGenerator<[name: string, stored: string]> {
    // Names are ordered by their bytes, and 0xff is in no text.
    const highest = prefix === "" ? "+" : Buffer.concat([Buffer.from(`(${prefix}`), Buffer.of(0xff)]);
    for (let lowest = `[${prefix}`; ; ) {
      const flat = list(await this.#keys.read("values", space, lowest, highest)).map(text);
      for (let i = 0; i + 1 < flat.length; i += 2) yield [flat[i] ?? "", flat[i + 1] ?? ""];
      if (flat.length < PAGE * 2) return;
      lowest = `(${flat.at(-2)}`;
    }
  }

  /** Elements of a stream whose entries are numbered by the session, after `cursor`. */
  async #readStream(
    kind: string,
    order: "asc" | "desc",
    limit: number,
    cursor?: number,
    fromSeq?: number,
    toSeq?: number,
  ): Promise<{ seq: number; json: string }[]> {
    const rows: { seq: number; json: string }[] = [];
    let [from, to] = [String(fromSeq ?? "-"), String(toSeq ?? "+")];
    if (cursor !== undefined) [from, to] = order === "asc" ? [`(${cursor}-0`, to] : [from, `(${cursor}-0`];
    while (rows.length < limit) {
      const count = Math.min(PAGE, limit - rows.length);
      const ends = order === "asc" ? [from, to] : [to, from];
      const page = list(await this.#keys.command(order === "asc" ? "xrange" : "xrevrange", kind, ...ends, "COUNT", count));
      for (const each of page) {
        const [id, fields] = list(each);
        rows.push({ seq: Number.parseInt(text(id), 10), json: text(list(fields)[1]) });
      }
      if (page.length < count) break;
      if (order === "asc") from = `(${rows.at(-1)?.seq}-0`;
      else to = `(${rows.at(-1)?.seq}-0`;
    }
    return rows;
  }

  /** Everything that was acknowledged can be read. */
  async #upToDate(): Promise<void> {
    this.#assertOpen();
    await this.#writer.flush();
  }

  #assertOpen(): void {
    if (!this.#open) throw new Error("the session's storage is closed");
  }
}

/** A text that may be absent, so that an empty one differs from none. */
function colon(part: string | undefined): string {
  return part === undefined ? "" : `:${part}`;
}

function storedValue<T>(address: Value<T>, stored: string): StoredValue<T> {
  const at = stored.indexOf(":");
  return { address, seq: Number(stored.slice(0, at)), value: JSON.parse(stored.slice(at + 1)) as T };
}
