import { Code, createClient } from "@connectrpc/connect";
import { LeafService } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { Authenticator } from "../callers/authenticator.ts";
import { OPERATOR } from "../callers/caller.ts";
import { allEvents, openDoor, refusal, TOKEN } from "./support.ts";

describe("the token", () => {
  test.each([
    ["none", undefined],
    ["an empty one", ""],
    ["a wrong one", "wrong"],
    ["one that begins right", `${TOKEN}x`],
    ["the right one's beginning", TOKEN.slice(0, -1)],
    ["one in another case", TOKEN.toUpperCase()],
  ])("is refused where it is %s, by every RPC alike", async (_what, token) => {
    const { transport, leaves, store } = await openDoor();
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const stranger = createClient(LeafService, transport(undefined));
    const calls = [
      () => stranger.submit({ spec: { prompt: "p" } }, { headers }),
      () => stranger.get({ leafId: "leaf_x" }, { headers }),
      () => stranger.list({}, { headers }),
      () => allEvents(stranger.run({ spec: { prompt: "p" } }, { headers })),
      () => allEvents(stranger.watch({ leafId: "leaf_x" }, { headers })),
    ];
    for (const call of calls) expect(await refusal(call())).toMatchObject({ code: Code.Unauthenticated, reason: "unauthorized" });
    expect((await store.list({ limit: 1 })).leaves).toEqual([]);
    expect((await leaves.list({})).leaves).toEqual([]);
  });

  test.each(["Basic abc", "Bearer", "Bearer  two", `Bearer ${TOKEN} more`, TOKEN])("is not found in the header %j", async (header) => {
    expect(await refusal(new Authenticator({ operatorToken: TOKEN }).identify(header))).toMatchObject({ reason: "unauthorized" });
  });

  test("is accepted with the scheme in any case, as the standard wants", async () => {
    expect(await new Authenticator({ operatorToken: TOKEN }).identify(`bearer ${TOKEN}`)).toBe(OPERATOR);
  });

  test("is not asked for where there is none, on a socket that only its owner opens", async () => {
    const { leaves } = await openDoor({ token: null });
    expect((await leaves.submit({ spec: { prompt: "p" } })).created).toBe(true);
  });

  test("is never in the message of a refusal", async () => {
    const { transport } = await openDoor();
    const refused = await refusal(createClient(LeafService, transport("guess-1234")).list({}));
    expect(JSON.stringify(refused) + refused.message).not.toMatch(/guess-1234|a-token-for-tests/);
  });
});
