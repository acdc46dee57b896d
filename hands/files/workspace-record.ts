import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory, writeDurably } from "./durable.ts";

/** What is remembered about a workspace. */
export interface WorkspaceRecord {
  /** The highest epoch seen. */
  readonly epoch: bigint;
  readonly createdAtMs: number;
  /** The epoch under which it was made; a fresh one is made once per epoch. */
  readonly madeInEpoch?: bigint;
  /** It was deleted then: what is left is a tombstone, which keeps an old owner from making the workspace again. */
  readonly deletedAtMs?: number;
}

/** File of a record in its workspace's state directory. */
const FILE = "workspace.json";

/** How long a tombstone stays. Longer than any owner can believe that it still owns a session. */
const TOMBSTONE_MS = 24 * 60 * 60_000;

/** Write a record; durable when it resolves. Makes the directory where it is missing. */
export async function writeRecord(stateDirectory: string, record: WorkspaceRecord): Promise<void> {
  const made = await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  if (made !== undefined) await syncDirectory(join(stateDirectory, ".."));
  await writeDurably(join(stateDirectory, FILE), JSON.stringify(record, asText));
}

/** Every record below `states`, by workspace name. Old tombstones, and directories that a crash left without a record, are removed. */
export async function readRecords(states: string): Promise<Map<string, WorkspaceRecord>> {
  const records = new Map<string, WorkspaceRecord>();
  await mkdir(states, { recursive: true, mode: 0o700 });
  for (const tenant of await readdir(states)) {
    for (const session of await readdir(join(states, tenant))) {
      const directory = join(states, tenant, session);
      const record = await readRecord(join(directory, FILE));
      if (record === undefined || isExpired(record)) await rm(directory, { recursive: true, force: true });
      else records.set(`${tenant}/${session}`, record);
    }
  }
  return records;
}

function isExpired(record: WorkspaceRecord): boolean {
  return record.deletedAtMs !== undefined && Date.now() - record.deletedAtMs > TOMBSTONE_MS;
}

async function readRecord(path: string): Promise<WorkspaceRecord | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const record = JSON.parse(text) as Omit<WorkspaceRecord, "epoch" | "madeInEpoch"> & { epoch: string; madeInEpoch?: string };
  const { epoch, madeInEpoch, ...rest } = record;
  return { ...rest, epoch: BigInt(epoch), ...(madeInEpoch === undefined ? {} : { madeInEpoch: BigInt(madeInEpoch) }) };
}

/** Epochs are larger than JSON's numbers. */
function asText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
