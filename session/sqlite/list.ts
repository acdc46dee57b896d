import type { SQLInputValue } from "node:sqlite";
import { Validation } from "@serverless-harness/kit/validate";
import type { Leaf } from "@serverless-harness/proto/leaf";
import type { LeafQuery } from "../leaf-store.ts";
import type { Connection } from "./connection.ts";
import { numberOfPageToken, pageTokenOf } from "./page-token.ts";
import { LEAF_COLUMNS, type LeafRow, toLeaf } from "./records.ts";

/** A page of leaves, newest first. */
export function listLeaves(connection: Connection, query: LeafQuery): { leaves: Leaf[]; nextPageToken?: string } {
  const validation = new Validation();
  validation.range("page_size", query.limit, 1, 1000);
  validation.done();
  const { sql, params } = selection(query);
  // One more than asked for tells whether there is another page.
  const rows = connection.all<LeafRow>(sql, ...params, query.limit + 1);
  const page = rows.slice(0, query.limit);
  const last = rows.length > query.limit ? page.at(-1) : undefined;
  return { leaves: page.map(toLeaf), ...(last === undefined ? {} : { nextPageToken: pageTokenOf(last.n) }) };
}

/** With labels the walk goes along the first one's index, else along the leaves: both are in order of submission. */
function selection(query: LeafQuery): { sql: string; params: SQLInputValue[] } {
  const terms: string[] = [];
  const params: SQLInputValue[] = [];
  const must = (term: string, ...values: SQLInputValue[]): void => {
    terms.push(term);
    params.push(...values);
  };
  const [label, ...labels] = Object.entries(query.labels ?? {});
  if (label !== undefined) must("f.key = ? AND f.value = ?", ...label);
  for (const more of labels) must("EXISTS (SELECT 1 FROM harness_labels m WHERE m.key = ? AND m.value = ? AND m.n = l.n)", ...more);
  if (query.tenant !== undefined) must("l.tenant = ?", query.tenant);
  if (query.sessionId !== undefined) must("l.session_id = ?", query.sessionId);
  const states = query.states ?? [];
  if (states.length > 0) must(`l.state IN (${states.map(() => "?").join(", ")})`, ...states);
  const order = label === undefined ? "l.n" : "f.n";
  if (query.pageToken) must(`${order} < ?`, numberOfPageToken(query.pageToken));
  const from = label === undefined ? "harness_leaves l" : "harness_labels f CROSS JOIN harness_leaves l ON l.n = f.n";
  const where = terms.length === 0 ? "" : `WHERE ${terms.join(" AND ")}`;
  const sql = `SELECT ${LEAF_COLUMNS} FROM ${from} JOIN harness_specs s ON s.n = l.n ${where} ORDER BY ${order} DESC LIMIT ?`;
  return { sql, params };
}
