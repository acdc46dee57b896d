import { Validation } from "@serverless-harness/kit/validate";
import type { Leaf } from "@serverless-harness/proto/leaf";
import type { LeafQuery } from "../contract/leaf.ts";
import { numberOfPageToken, pageTokenOf } from "../contract/page-token.ts";
import type { Database } from "./database.ts";
import { indexesFor } from "./indexes.ts";
import { encode } from "./names.ts";
import { list, text } from "./scripts.ts";
import { readLeaf } from "./submit.ts";

/** Leaves of one partition, newest first, read piece by piece. */
interface Walk {
  readonly partition: number;
  readonly found: { readonly order: number; readonly leafId: string }[];
  /** Where to go on; `undefined` at the end. */
  below: string | undefined;
}

/** A page of leaves, newest first: each partition is walked along an index, and the walks are merged. */
export async function listLeaves(database: Database, query: LeafQuery): Promise<{ leaves: Leaf[]; nextPageToken?: string }> {
  const validation = new Validation();
  validation.range("page_size", query.limit, 1, 1000);
  validation.done();
  const below = query.pageToken ? String(numberOfPageToken(query.pageToken, query)) : "";
  const walks = database.names.all().map((partition): Walk => ({ partition, found: [], below }));
  const page: { order: number; leafId: string }[] = [];
  // One more than asked for tells whether there is another page.
  while (page.length <= query.limit) {
    await Promise.all(walks.map((walk) => fill(database, query, walk)));
    const newest = walks.reduce((best, walk) => ((walk.found[0]?.order ?? -1) > (best.found[0]?.order ?? -1) ? walk : best));
    const next = newest.found.shift();
    if (next === undefined) break;
    page.push(next);
  }
  const more = page.length > query.limit;
  const shown = page.slice(0, query.limit);
  const leaves = await Promise.all(shown.map(({ leafId }) => readLeaf(database, leafId)));
  const last = shown.at(-1);
  return {
    leaves: leaves.filter((leaf) => leaf !== undefined),
    ...(more && last !== undefined ? { nextPageToken: pageTokenOf(last.order, query) } : {}),
  };
}

/** Read on until the walk has a leaf to offer, or is at its end. */
async function fill(database: Database, query: LeafQuery, walk: Walk): Promise<void> {
  const { walk: index, checks, states } = indexesFor(query);
  // The index of a session begins with its tenant; without one, every record is asked.
  const bySession = query.sessionId !== undefined && query.tenant === undefined ? encode(query.sessionId) : "";
  while (walk.found.length === 0 && walk.below !== undefined) {
    const args = [walk.below, Math.min(query.limit + 1, 500), index, bySession, states.join(""), ...checks];
    const [below, flat] = list(await database.run("list", walk.partition, ...args));
    const found = list(flat);
    for (let i = 0; i + 1 < found.length; i += 2) walk.found.push({ order: Number(text(found[i])), leafId: text(found[i + 1]) });
    walk.below = text(below) === "" ? undefined : text(below);
  }
}
