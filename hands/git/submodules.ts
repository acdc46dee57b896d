import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type BytePath, shownName } from "../fs/byte-names.ts";
import type { LeftOutList } from "../fs/left-out.ts";
import type { TreeLimits } from "../fs/tree-limits.ts";
import { adopt } from "./adopt.ts";
import { type CheckoutOptions, checkOut, quoteSetting } from "./checkout.ts";
import type { Clones } from "./clones.ts";
import { GitFailure } from "./git-failure.ts";
import type { ObjectStore } from "./object-store.ts";
import { requireSourceFits } from "./source-tree.ts";

/** Where submodules are checked out, and out of what. */
export interface SubmodulesOptions {
  readonly clones: Clones;
  readonly store: ObjectStore;
  readonly limits: TreeLimits;
  readonly checkout: CheckoutOptions;
  readonly signal: AbortSignal;
  /** Gets what is not checked out, and why. */
  readonly leftOut: LeftOutList;
}

interface Parent {
  readonly commit: string;
  /** Where it came from: what relative addresses are relative to. */
  readonly url: string;
  readonly directory: string;
  /** Its path below the workspace, with a slash at its end; empty for the workspace itself. */
  readonly path: BytePath;
  readonly depth: number;
}

/** As many submodules of one workspace, and as many below each other, are checked out. */
const MAX_SUBMODULES = 50;
const MAX_DEPTH = 4;

/**
 * Check out the submodules of a checkout, and theirs, whose addresses may be cloned: each as a repository of its own,
 * at the commit that its parent names. One that can't be had stays an empty directory, as git leaves it, and is told
 * of.
 */
export async function checkOutSubmodules(options: SubmodulesOptions, source: Pick<Parent, "commit" | "url" | "directory">): Promise<void> {
  const waiting: Parent[] = [{ ...source, path: "", depth: 0 }];
  let count = 0;
  for (let parent = waiting.shift(); parent !== undefined; parent = waiting.shift()) {
    const links = await options.store.gitlinks(parent.commit);
    const modules = links.size === 0 ? [] : await modulesOf(options.store, parent.commit);
    for (const [path, commit] of links) {
      count += 1;
      const shown = shownName(parent.path + path);
      const module = modules.find((each) => each.path === path);
      if (module?.url === undefined) options.leftOut.add(shown, "is a submodule without an address in .gitmodules");
      else if (count > MAX_SUBMODULES || parent.depth === MAX_DEPTH)
        options.leftOut.add(shown, `is a submodule beyond the first ${MAX_SUBMODULES}, or more than ${MAX_DEPTH} below each other`);
      else {
        const child = await checkOutOne(options, parent, { ...module, url: module.url, path, commit }, shown);
        if (child !== undefined) waiting.push(child);
      }
    }
  }
}

interface Module {
  readonly name: string;
  readonly path: BytePath;
  readonly url: string | undefined;
}

async function checkOutOne(
  { clones, store, limits, checkout, signal, leftOut }: SubmodulesOptions,
  parent: Parent,
  module: Module & { readonly url: string; readonly commit: string },
  shown: string,
): Promise<Parent | undefined> {
  const directory = join(parent.directory, Buffer.from(module.path, "latin1").toString());
  const url = resolveAddress(module.url, parent.url);
  try {
    const adopted = await clones.use({ url, ref: module.commit }, (clone) => adopt(store.git, clone, store), { signal });
    await requireSourceFits(store, adopted.commit, limits, signal);
    await checkOut(store.git, store, { ...adopted, branch: undefined }, directory, checkout);
    const settings = `[submodule ${quoteSetting(module.name)}]\n\tactive = true\n\turl = ${quoteSetting(url)}\n`;
    await appendFile(join(parent.directory, ".git", "config"), settings, "latin1");
    return { commit: adopted.commit, url, directory, path: `${parent.path}${module.path}/`, depth: parent.depth + 1 };
  } catch (error) {
    if (!(error instanceof HarnessError) || signal.aborted) throw error;
    leftOut.add(shown, `is a submodule that can't be checked out: ${error.message}`);
    return undefined;
  }
}

/** What `.gitmodules` says, by git's own reading of it. */
async function modulesOf(store: ObjectStore, commit: string): Promise<Module[]> {
  const names = ["config", `--blob=${commit}:.gitmodules`, "--null", "--get-regexp", "^submodule\\..*\\.(path|url)$"] as const;
  const listing = await store.run([...names]).catch((error: unknown) => {
    // There is none, or it can't be read.
    if (error instanceof GitFailure && error.end.kind === "exit") return Buffer.alloc(0);
    throw error;
  });
  const modules = new Map<string, { name: string; path?: string; url?: string }>();
  for (const record of listing.toString("latin1").split("\0")) {
    const [, name, key, value = ""] = /^submodule\.(.*)\.(path|url)\n(.*)$/s.exec(record) ?? [];
    if (name === undefined || key === undefined) continue;
    modules.set(name, { ...(modules.get(name) ?? { name }), [key]: value });
  }
  return [...modules.values()].flatMap(({ name, path, url }) => (path === undefined ? [] : [{ name, path, url }]));
}

/** An address that begins with `./` or `../` is relative to the parent's. */
function resolveAddress(url: string, parent: string): string {
  if (!/^\.\.?\//.test(url)) return url;
  const base = parent.replace(/\/+$/, "").split("/");
  for (const name of url.split("/")) {
    if (name === "..") base.pop();
    else if (name !== ".") base.push(name);
  }
  return base.join("/");
}
