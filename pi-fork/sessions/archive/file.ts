import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@serverless-harness/kit/ids";

/** Which sessions are removed. */
export interface Expiry {
  /** Nothing was committed to them for this many milliseconds, and no leaf of theirs is unfinished. */
  readonly idleMs: number;
  /** At the most. Default 100. */
  readonly limit?: number;
  /** Directory that each is archived in before, as `<session's key, percent-encoded>.jsonl`. Default: they are not archived. */
  readonly archive?: string;
}

/** Default of {@link Expiry.limit}. */
export const EXPIRED_AT_ONCE = 100;

/** Write an archive's lines to `<directory>/<name>.jsonl`, whole or not at all: synced under another name, then renamed. Returns its path. */
export async function writeArchive(directory: string, name: string, lines: AsyncIterable<string>): Promise<string> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, `${encodeURIComponent(name)}.jsonl`);
  const temporary = `${path}.${newId("t")}.tmp`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      for await (const line of lines) await file.write(line);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    return path;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** An archive's lines, without their ends. The file is opened with the first that is asked for. */
export async function* readArchive(path: string): AsyncGenerator<string> {
  const file = await open(path);
  try {
    yield* file.readLines({ autoClose: false });
  } finally {
    await file.close();
  }
}
