import { lstat, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ExecUpdate, WorkspaceClient } from "@serverless-harness/hands/client";
import { newId } from "@serverless-harness/kit/ids";
import { EndCause } from "@serverless-harness/proto/hands";
import { KILOBYTE, MATCHES, PATTERN } from "./tree.ts";

/** The same five operations, in one of the ways that there are to do them. Each checks what it got. */
export interface Way {
  /** Read a file of a kilobyte. */
  read(): Promise<void>;
  /** Replace a file by a kilobyte. */
  write(): Promise<void>;
  /** Replace one word in a file. */
  edit(): Promise<void>;
  stat(): Promise<void>;
  /** Search a thousand files for lines with a word. */
  grep(): Promise<void>;
}

/** Names of the files, which each way has for itself. */
function namesOf(way: string) {
  return { read: "read.txt", write: `write-${way}.txt`, edit: `edit-${way}.txt`, tree: "tree" };
}

const BEFORE = "brown fox jumps over the lazy dog, line one";
const [HARE, FOX] = ["hare", "fox"];

/** Text to be edited: the word is there once. */
const EDITED = `${KILOBYTE.replaceAll("fox", "cat")}${BEFORE}\n`;

/** Make what every way needs, in a workspace's directory. */
export async function makeFiles(directory: string): Promise<void> {
  await writeFile(join(directory, namesOf("").read), KILOBYTE);
  for (const way of ["rpc", "exec", "local"]) await writeFile(join(directory, namesOf(way).edit), EDITED);
}

/** By FileService. */
export function byRpc(workspace: WorkspaceClient): Way {
  const names = namesOf("rpc");
  const data = Buffer.from(KILOBYTE);
  let word = FOX;
  return {
    read: async () => expectText(Buffer.from(await workspace.read(names.read)).toString(), KILOBYTE),
    write: async () => void (await workspace.write(names.write, data, { changeId: newId("write") })),
    edit: async () => {
      const other = word === FOX ? HARE : FOX;
      await workspace.edit(names.edit, [{ oldText: `brown ${word} jumps`, newText: `brown ${other} jumps` }], { changeId: newId("edit") });
      word = other;
    },
    stat: async () => expectText(String((await workspace.stat(names.read)).size), "1024"),
    grep: async () => expectText(String((await workspace.grep(names.tree, PATTERN)).lines.length), String(MATCHES)),
  };
}

/** Milliseconds of each of many descriptions in one round trip. */
export async function statInBatch(workspace: WorkspaceClient, count: number): Promise<number> {
  const { read: path } = namesOf("rpc");
  const start = performance.now();
  const outcomes = await workspace.batch(Array.from({ length: count }, () => ({ kind: "stat", path }) as const));
  const perOperation = (performance.now() - start) / count;
  if (!outcomes.every((outcome) => outcome.case === "stat")) throw new Error("a batch of descriptions failed");
  return perOperation;
}

/** By commands, as a system does it that has nothing but exec. */
export function byExec(workspace: WorkspaceClient): Way {
  const names = namesOf("exec");
  const content = Buffer.from(KILOBYTE).toString("base64");
  let word = FOX;
  return {
    read: async () => expectText(await run(workspace, `cat ${names.read}`), KILOBYTE),
    write: async () => void (await run(workspace, `echo ${content} | base64 -d > ${names.write}`)),
    edit: async () => {
      const other = word === FOX ? HARE : FOX;
      await run(workspace, `sed -i 's/brown ${word} jumps/brown ${other} jumps/' ${names.edit}`);
      word = other;
    },
    stat: async () => expectText((await run(workspace, `stat -c %s ${names.read}`)).trim(), "1024"),
    grep: async () =>
      expectText(String((await run(workspace, `grep -rn ${PATTERN} ${names.tree}`)).trim().split("\n").length), String(MATCHES)),
  };
}

/** By this process itself: nothing can be faster, and nothing is remembered, checked or flushed. */
export function byLocalFs(directory: string): Way {
  const names = namesOf("local");
  const at = (name: string): string => join(directory, name);
  const replace = async (name: string, text: string): Promise<void> => {
    await writeFile(at(`${name}.new`), text);
    await rename(at(`${name}.new`), at(name));
  };
  let word = FOX;
  return {
    read: async () => expectText(await readFile(at(names.read), "utf8"), KILOBYTE),
    write: () => replace(names.write, KILOBYTE),
    edit: async () => {
      const other = word === FOX ? HARE : FOX;
      await replace(names.edit, (await readFile(at(names.edit), "utf8")).replace(`brown ${word} jumps`, `brown ${other} jumps`));
      word = other;
    },
    stat: async () => expectText(String((await lstat(at(names.read))).size), "1024"),
    grep: async () => {
      const entries = await readdir(at(names.tree), { recursive: true, withFileTypes: true });
      let found = 0;
      for (const entry of entries) {
        if (!entry.isFile()) continue;
        const text = await readFile(join(entry.parentPath, entry.name), "utf8");
        found += text.split("\n").filter((line) => line.includes(PATTERN)).length;
      }
      expectText(String(found), String(MATCHES));
    },
  };
}

/** Run a command to its end, and return its output. */
async function run(workspace: WorkspaceClient, shell: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  const { ended } = workspace.exec({ execId: newId("bench"), command: { shell } }, (update: ExecUpdate) => {
    if (update.kind === "output") pieces.push(update.data);
  });
  const { cause, exitCode, message } = await ended;
  const output = Buffer.concat(pieces).toString();
  if (cause === EndCause.EXITED && exitCode === 0) return output;
  throw new Error(`${shell.slice(0, 40)} ended with cause ${cause}, code ${exitCode} (${message}): ${output}`);
}

function expectText(got: string, wanted: string): void {
  if (got !== wanted) throw new Error(`got ${JSON.stringify(got.slice(0, 100))} where ${JSON.stringify(wanted.slice(0, 100))} is`);
}
