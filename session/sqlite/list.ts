import type { SQLInputValue } from "node:sqlite";
import { Validation } from "@serverless-harness/kit/validate";
import type { Leaf, LeafState } from "@serverless-harness/proto/leaf";
import type { LeafQuery } from "../contract/leaf.ts";
import { numberOfPageToken, pageTokenOf } from "../contract/page-token.ts";
import type { Connection } from "./connection.ts";
import { LEAF_COLUMNS, type LeafRow, leafOf } from "./records.ts";

/** A part of a statement with the values of its parameters. */
interface Selection {
  readonly sql: string;
  readonly params: readonly SQLInputValue[];
}

/** A page of leaves, newest first. */
export function listLeaves(connection: Connection, query: LeafQuery): { leaves: Leaf[]; nextPageToken?: string } {
  const validation = new Validation();
  validation.range("page_size", query.limit, 1, 1000);
  validation.done();
  // One more than asked for tells whether there is another page.
  const { sql, params } = pageOf(query, query.limit + 1);
  const rows = connection.all<LeafRow>(sql, ...params);
  const page = rows.slice(0, query.limit);
  const last = rows.length > query.limit ? page.at(-1) : undefined;
  return {
    leaves: page.map((row) => leafOf(connection, row)),
    ...(last === undefined ? {} : { nextPageToken: pageTokenOf(last.n, query) }),
  };
}

/**
 * Each state is looked up by itself, newest first, so that an index gives them in order however many there are. Records are read only of
 * what is on the page.
 */
function pageOf(query: LeafQuery, limit: number): Selection {
  const states = query.states?.length ? [...new Set(query.states)] : [undefined];
  const parts = states.map((state) => numbersOf(query, state, limit));
  const numbers = parts.map(({ sql }) => `SELECT n FROM (${sql})`).join(" UNION ALL ");
  const sql = `SELECT ${LEAF_COLUMNS} FROM (${numbers} ORDER BY n DESC LIMIT ?) p
    CROSS JOIN harness_leaves l ON l.n = p.n JOIN harness_specs s ON s.n = l.n ORDER BY p.n DESC`;
  return { sql, params: [...parts.flatMap(({ params }) => params), limit] };
}

/** The numbers of the newest leaves that match, in one state or in any. With labels, the walk goes along the first one's index. */
function numbersOf(query: LeafQuery, state: LeafState | undefined, limit: number): Selection {
  const terms: string[] = [];
  const params: SQLInputValue[] = [];
  const must = (term: string, ...values: SQLInputValue[]): void => {
    terms.push(term);
    params.push(...values);
  };
  const [label, ...labels] = Object.entries(query.labels ?? {});
  const n = label === undefined ? "l.n" : "f.n";
  if (label !== undefined) must("f.key = ? AND f.value = ?", ...label);
  for (const more of labels) must("EXISTS (SELECT 1 FROM harness_labels m WHERE m.key = ? AND m.value = ? AND m.n = f.n)", ...more);
  if (query.tenant !== undefined) must("l.tenant = ?", query.tenant);
  if (query.sessionId !== undefined) must("l.session_id = ?", query.sessionId);
  // A session has few leaves: the plus keeps SQLite from walking along all leaves of that state instead.
  if (state !== undefined) must(query.sessionId === undefined ? "l.state = ?" : "+l.state = ?", state);
  if (query.pageToken) must(`${n} < ?`, numberOfPageToken(query.pageToken, query));
  const from = label === undefined ? "harness_leaves l" : "harness_labels f CROSS JOIN harness_leaves l ON l.n = f.n";
  const where = terms.length === 0 ? "" : `WHERE ${terms.join(" AND ")}`;
  return { sql: `SELECT ${n} AS n FROM ${from} ${where} ORDER BY ${n} DESC LIMIT ?`, params: [...params, limit] };
}
