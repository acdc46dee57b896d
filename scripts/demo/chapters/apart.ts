import { randomUUID } from "node:crypto";
import { codeName, fromConnectError } from "@serverless-harness/kit/errors";
import { DecisionKind, LeafState } from "@serverless-harness/proto/leaf";
import { connect, type Dispatcher } from "../../../clients/cli/dispatcher/call.ts";
import type { Finding } from "../claims.ts";
import type { World } from "../world.ts";

const SCOPES = ["leaves:submit", "leaves:read", "leaves:cancel", "gates:decide"];

/** What one tenant may try on a leaf, its gate and its session, by name. Each call has to be refused. */
type Attempts = Readonly<Record<string, () => Promise<unknown>>>;

/**
 * Two tenants, each with a token of its own, on one dispatcher. A leaf of the first one waits at a gate. To the second one leaf, gate, events and session are not
 * there, in the very words that it gets for ids that never were; to the first one they are.
 */
export async function apart(world: World): Promise<Finding> {
  const [owner, stranger] = [await client(world, "demo-ours"), await client(world, "demo-theirs")];
  try {
    const secret = `secret-${randomUUID()}`;
    const { leaf } = await owner.leaves.submit({ spec: { prompt: `Run: echo ${secret}`, gates: { tools: [{ tool: "bash" }] } } });
    const leafId = leaf?.leafId ?? "";
    const asked = await world.until("the gate to open", async () => {
      const found = (await owner.leaves.get({ leafId })).leaf;
      return found?.state === LeafState.AWAITING_APPROVAL ? found : undefined;
    });
    const gateId = asked.openGates[0]?.gateId ?? "";
    const sessionId = asked.spec?.sessionId ?? "";
    const tried = await answers(attempts(world, stranger, leafId, gateId, sessionId));
    const neverWas = await answers(attempts(world, stranger, randomUUID(), randomUUID(), randomUUID()));
    const listed = (await stranger.leaves.list({})).leaves.length + (await stranger.leaves.list({ sessionId })).leaves.length;
    const told = JSON.stringify(tried).includes(secret);
    const refused = tried.filter(([, answer]) => answer.startsWith("not_found")).length;
    const same = tried.filter(([, answer], i) => answer === neverWas[i]?.[1]).length;
    const ownList = (await owner.leaves.list({})).leaves.length;
    await owner.leaves.decide({ leafId, gateId, kind: DecisionKind.ABORT });
    const end = await world.until("the leaf to end", async () => {
      const state = (await owner.leaves.get({ leafId })).leaf?.state;
      return state !== undefined && state >= LeafState.DONE ? state : undefined;
    });
    const untouched = asked.openGates.length === 1 && end === LeafState.ABORTED;
    return {
      holds: refused === tried.length && same === tried.length && listed === 0 && !told && ownList === 1 && untouched,
      seen: `${refused} of ${tried.length} attempts (${tried.map(([name]) => name).join(", ")}) found nothing, ${same} in the words for an id that never was; ${listed} leaves are listed to the stranger, ${ownList} to the owner, who still decided its gate`,
      measured: { attempts: tried.length, refused, same, listed },
    };
  } finally {
    owner.close();
    stranger.close();
  }
}

/** A client with a token of a tenant's. */
async function client(world: World, tenant: string): Promise<Dispatcher & { readonly secret: string }> {
  const { secret } = await world.tokens.create({ tenant, subject: "demo", scopes: SCOPES, lifeSeconds: 300n });
  return { ...connect({ url: world.info.url, token: secret }), secret };
}

function attempts(
  world: World,
  { leaves, secret }: Dispatcher & { readonly secret: string },
  leafId: string,
  gateId: string,
  sessionId: string,
): Attempts {
  return {
    get: () => leaves.get({ leafId }),
    watch: async () => {
      for await (const _ of leaves.watch({ leafId }));
    },
    events: async () => {
      const headers = { authorization: `Bearer ${secret}`, accept: "text/event-stream" };
      const answer = await fetch(`${world.info.url}/v1/leaves/${leafId}/events`, { headers, signal: AbortSignal.timeout(5000) });
      if (answer.status !== 404) return await answer.body?.cancel();
      throw new HttpNotFound(await answer.text());
    },
    decide: () => leaves.decide({ leafId, gateId, kind: DecisionKind.APPROVE }),
    send: () => leaves.send({ leafId, text: "hello", messageId: "demo" }),
    cancel: () => leaves.cancel({ leafId }),
    redrive: () => leaves.redrive({ leafId }),
    fork: () => leaves.submit({ spec: { prompt: "What was said?", fork: { sessionId } } }),
  };
}

/** The plain HTTP API says so. */
class HttpNotFound extends Error {}

/** What each attempt was answered with: `made it`, or the error, with its code in front. */
async function answers(all: Attempts): Promise<Array<readonly [name: string, answer: string]>> {
  return await Promise.all(
    Object.entries(all).map(async ([name, attempt]) => {
      const answer = await attempt().then(() => "made it", refusal);
      return [name, answer] as const;
    }),
  );
}

function refusal(error: unknown): string {
  if (error instanceof HttpNotFound) return `not_found ${error.message}`;
  const { code, message } = fromConnectError(error);
  return `${codeName(code)} ${message}`;
}
