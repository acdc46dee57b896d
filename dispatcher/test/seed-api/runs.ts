import { type Step, scripted } from "@serverless-harness/pi-fork/testing";
import type { Leaf } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { type House, machines, resident } from "../../../brain/test/fixtures/stack.ts";
import { sessionName } from "../../seed-api/session-name.ts";
import type { SeedApiSettings } from "../../seed-api/settings.ts";
import type { Volume } from "../../volume/volume.ts";
import { type Answer, askHttp1 } from "../http-client.ts";
import { AUTHORIZED, openDoor } from "../support.ts";

/** Bodies of requests, as clients write them. */
export type Body = Readonly<Record<string, unknown>>;

/** A door in front of a store, and how its clients ask. */
export interface RunsDoor {
  readonly store: LeafStore;
  readonly origin: string;
  /** `POST /runs`; a string is sent as it is. */
  run(body: Body | string, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** `GET /runs/status`. */
  status(query: Readonly<Record<string, string>>): Promise<Answer>;
  /** The same until it says something else than `queued`. */
  outcome(query: Readonly<Record<string, string>>): Promise<Answer>;
}

/** Open a door on a store. The default is that of a dispatcher without LEAF_COMPAT. */
export async function openRuns(store?: LeafStore, seedApi: Partial<SeedApiSettings> = {}, volume?: Volume): Promise<RunsDoor> {
  const door = await openDoor({ seedApi, ...(store === undefined ? {} : { store }), ...(volume === undefined ? {} : { volume }) });
  const run: RunsDoor["run"] = (body, headers = AUTHORIZED) =>
    askHttp1(door.origin, "/runs", { method: "POST", headers, body: typeof body === "string" ? body : JSON.stringify(body) });
  const status: RunsDoor["status"] = (query) =>
    askHttp1(door.origin, `/runs/status?${new URLSearchParams(query)}`, { headers: AUTHORIZED });
  const outcome: RunsDoor["outcome"] = async (query) => {
    for (;;) {
      const answer = await status(query);
      if (answer.body["status"] !== "queued") return answer;
      await store?.waitForWork(200, new AbortController().signal);
    }
  };
  return { store: door.store, origin: door.origin, run, status, outcome };
}

/** The leaves of a session, newest first. */
export async function leavesOf(store: LeafStore, id: string): Promise<Leaf[]> {
  return (await store.list({ tenant: "default", sessionId: sessionName(id), limit: 1000 })).leaves;
}

/** A brain, a sandbox and a model, for all tests of a file. */
export function seedHouse(): House {
  return resident(machines());
}

let sessions = 0;

/** A session that no other test uses. */
export function newSession(): string {
  return `${process.pid}/${Date.now()}/i${++sessions}`;
}

/** A review envelope whose model follows a script. */
export function review(sessionId: string, steps: readonly Step[], more: Body = {}, item: Body = {}): Body {
  return { sessionId, item: { item_id: "i1", file: "risky.py", pattern: scripted(...steps), ...item }, ...more };
}

/** A step that hands a verdict in. */
export function verdict(word = "FLAGGED", itemId = "i1"): Step {
  return { tools: [{ name: "submit_verdict", input: { item_id: itemId, verdict: word, reason: "it is so" } }] };
}

/** A step that asks a human. */
export function ask(summary = "May I?"): Step {
  return { tools: [{ name: "request_approval", input: { summary, proposed_action: "hand in FLAGGED" } }] };
}
