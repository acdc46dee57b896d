import { lstat, mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { DamagedRecord, isDamagedRecord, syncDirectory, writeDurably } from "../fs/durable.ts";
import { removeTree } from "../fs/remove-tree.ts";

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

/** Write a record; durable when it resolves. Makes the directory if it is missing. */
export async function writeRecord(stateDirectory: string, record: WorkspaceRecord): Promise<void> {
  const made = await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  if (made !== undefined) await syncDirectory(join(stateDirectory, ".."));
  await writeDurably(join(stateDirectory, FILE), JSON.stringify(record, asText));
}

export interface FoundRecords {
  /** By workspace name. */
  readonly records: Map<string, WorkspaceRecord>;
  /** Why others can't be read, by workspace name. */
  readonly damaged: Map<string, unknown>;
}

/** Every record below `states`. Old tombstones, and directories that a crash left without a record, are removed. */
export async function readRecords(states: string): Promise<FoundRecords> {
  const found: FoundRecords = { records: new Map(), damaged: new Map() };
  await mkdir(states, { recursive: true, mode: 0o700 });
  for (const tenant of await readdir(states, { withFileTypes: true })) {
    if (!tenant.isDirectory()) continue;
    for (const session of await readdir(join(states, tenant.name))) await readInto(found, states, `${tenant.name}/${session}`);
  }
  return found;
}

async function readInto({ records, damaged }: FoundRecords, states: string, name: string): Promise<void> {
  const directory = join(states, name);
  try {
    const record = await readRecord(join(directory, FILE));
    if (record === undefined || isExpired(record)) await removeTree(directory);
    else records.set(name, record);
  } catch (error) {
    if (!isDamagedRecord(error)) throw error;
    damaged.set(name, error);
  }
}

function isExpired(record: WorkspaceRecord): boolean {
  return record.deletedAtMs !== undefined && Date.now() - record.deletedAtMs > TOMBSTONE_MS;
}

async function readRecord(path: string): Promise<WorkspaceRecord | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return text === undefined ? undefined : parseRecord(text);
}

function parseRecord(text: string): WorkspaceRecord {
  const { epoch, createdAtMs, madeInEpoch, deletedAtMs } = parseObject(text);
  return {
    epoch: epochOf(epoch),
    createdAtMs: timeOf(createdAtMs),
    ...(madeInEpoch === undefined ? {} : { madeInEpoch: epochOf(madeInEpoch) }),
    ...(deletedAtMs === undefined ? {} : { deletedAtMs: timeOf(deletedAtMs) }),
  };
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below: what it is instead does not matter.
  }
  throw new DamagedRecord(`${FILE} holds no record`);
}

function epochOf(value: unknown): bigint {
  if (typeof value === "string" && /^-?\d{1,19}$/.test(value)) return BigInt(value);
  throw new DamagedRecord(`${FILE} holds no epoch`);
}

function timeOf(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  throw new DamagedRecord(`${FILE} holds an impossible time`);
}

/** Something has that name; a symbolic link itself. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return false;
    throw error;
  }
}

/** Epochs are larger than JSON's numbers. */
function asText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

/** An older epoch than the one seen is refused; so is 0, which claims nothing, once an owner was seen. */
export function assertCurrent(name: string, record: WorkspaceRecord, epoch: bigint): void {
  if (epoch >= record.epoch) return;
  throw new HarnessError(
    Code.FailedPrecondition,
    "stale_epoch",
    `workspace ${name} has a newer owner: epoch ${record.epoch} was seen, this call carries ${epoch}; stop, and claim the session again`,
    { metadata: { epoch: String(record.epoch) } },
  );
}
