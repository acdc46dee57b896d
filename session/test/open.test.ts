import { chmod, mkdir, open, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConfigError } from "@serverless-harness/kit/env";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { openLeafStore } from "../index.ts";
import { openSqliteLeafStore } from "../sqlite/store.ts";
import { logOf, submit, words } from "../testing/build.ts";
import { Child } from "../testing/child.ts";

const OPENER = new URL("fixtures/opener.ts", import.meta.url);
const SUBMITTER = new URL("fixtures/submitter.ts", import.meta.url);

async function failure(url: string): Promise<string> {
  const error = await openLeafStore(url).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return error instanceof ConfigError ? error.message : "";
}

async function freshPath(): Promise<string> {
  return join(await temporaryDirectory(), "leaf.db");
}

test("an absent database is made, and an existing one is opened with what it holds", async () => {
  const url = `sqlite:${await freshPath()}`;
  const first = await openLeafStore(url);
  const { leafId } = await submit(first);
  await first.close();
  const second = await openLeafStore(url);
  expect((await second.get(leafId))?.leafId).toBe(leafId);
  await second.close();
});

test("a database is its owner's alone, with all that lies beside it, and one that was open to others no longer is", async () => {
  const path = await freshPath();
  const modes = async (): Promise<string[]> =>
    (await Promise.all([path, `${path}-wal`, `${path}-shm`].map((file) => stat(file)))).map(({ mode }) => (mode & 0o777).toString(8));
  const first = await openLeafStore(`sqlite:${path}`);
  await submit(first);
  expect(await modes()).toEqual(["600", "600", "600"]);
  await first.close();
  await chmod(path, 0o644);
  const second = await openLeafStore(`sqlite:${path}`);
  await submit(second);
  expect(await modes()).toEqual(["600", "600", "600"]);
  await second.close();
});

test.each(["", "/var/leaf.db", "leaf.db", "postgres://u:secret@h/db", "file:/x.db"])(
  "the address %j is refused with the form it must have",
  async (url) => {
    const message = await failure(url);
    expect(message).toContain("it must be sqlite:/absolute/path/leaf.db or redis://host:port");
    expect(message).not.toContain("secret");
  },
);

test.each(["sqlite:", "sqlite:leaf.db", "sqlite:./leaf.db", "sqlite:///leaf.db", "sqlite:/dir/", "sqlite:/a\0b"])(
  "the path in %j is refused",
  async (url) => {
    expect(await failure(url)).toContain("it must be absolute");
  },
);

test("a directory that is absent, and a directory in the place of the file, are refused", async () => {
  const directory = await temporaryDirectory();
  expect(await failure(`sqlite:${directory}/absent/leaf.db`)).toContain("its directory must exist");
  await mkdir(join(directory, "leaf.db"));
  expect(await failure(`sqlite:${directory}/leaf.db`)).toContain("can't be opened");
});

test("a directory that can't be written is refused, with and without a database in it", async () => {
  const path = await freshPath();
  const directory = join(path, "..");
  await chmod(directory, 0o555);
  // Root may write everywhere, so there another user tries.
  const user = process.getuid?.() === 0 ? ["65534"] : [];
  const empty = new Child(OPENER, `sqlite:${path}`, ...user);
  await empty.ended;
  expect(empty.lines).toEqual([expect.stringMatching(/^ConfigError: .*must be able to write there/)]);
  await chmod(directory, 0o755);
  await openSqliteLeafStore(path).close();
  await chmod(path, 0o444);
  await chmod(directory, 0o555);
  const full = new Child(OPENER, `sqlite:${path}`, ...user);
  await full.ended;
  expect(full.lines).toEqual([expect.stringMatching(/^ConfigError: .*(write permission|able to write)/)]);
  await chmod(directory, 0o755);
});

test("a file that is not a database is refused and left as it is", async () => {
  const path = await freshPath();
  const garbage = Buffer.from("this is a shopping list, not a database\n".repeat(500));
  await writeFile(path, garbage);
  expect(await failure(`sqlite:${path}`)).toContain("is not a SQLite database");
  expect((await readFile(path)).equals(garbage)).toBe(true);
});

test("a torn database is refused as damaged", async () => {
  const path = await freshPath();
  const store = openSqliteLeafStore(path);
  await submit(store);
  await store.close();
  await truncate(path, 3 * 4096 + 100);
  expect(await failure(`sqlite:${path}`)).toContain("is damaged");
});

test("a database whose first page is overwritten is refused", async () => {
  const path = await freshPath();
  await openSqliteLeafStore(path).close();
  const file = await open(path, "r+");
  await file.write(Buffer.alloc(2000, 0xa5), 0, 2000, 100);
  await file.close();
  expect(await failure(`sqlite:${path}`)).toMatch(/is damaged|is not a SQLite database/);
});

test("a log with a torn end loses nothing that was committed", async () => {
  const path = await freshPath();
  const child = new Child(SUBMITTER, `sqlite:${path}`, "0");
  await child.printed(5);
  await child.kill();
  const log = await open(`${path}-wal`, "a");
  await log.write(Buffer.alloc(5000, 0x5a));
  await log.close();
  const store = openSqliteLeafStore(path);
  for (const leafId of child.lines) expect(words(await logOf(store, leafId))).toEqual(["queued"]);
  await store.close();
});

test.each([
  ["UPDATE harness_layout SET version = 99", /has layout 99, this version knows layout \d+: run the newer version/],
  ["UPDATE harness_layout SET version = 0", /has layout 0, this version knows layout \d+: move it and its -id file away/],
  ["DELETE FROM harness_layout", /has an unknown layout, this version knows layout \d+/],
])("a database of another layout is refused: %s", async (change, message) => {
  const path = await freshPath();
  await openSqliteLeafStore(path).close();
  const db = new DatabaseSync(path);
  db.exec(change);
  db.close();
  expect(await failure(`sqlite:${path}`)).toMatch(message);
});
