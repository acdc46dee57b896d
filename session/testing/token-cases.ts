import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import { type Token, TokenSchema } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "../contract/leaf-store.ts";
import { LONG_LEASE_MS, refused } from "./build.ts";
import type { Case } from "./types.ts";

function tokenOf(tokenId: string, fields: MessageInitShape<typeof TokenSchema> = {}): Token {
  const base = { tokenId, tenant: "acme", subject: "ann", scopes: ["leaves:read"], createdAtMs: 5n, createdBy: "root" };
  return create(TokenSchema, { ...base, expiresAtMs: BigInt(Date.now() + LONG_LEASE_MS), ...fields });
}

async function added(store: LeafStore, tokenId: string, fields: MessageInitShape<typeof TokenSchema> = {}): Promise<Token> {
  const token = tokenOf(tokenId, fields);
  await store.addToken(token);
  return token;
}

async function listed(store: LeafStore, tenant: string | undefined, limit: number): Promise<string[]> {
  const ids: string[] = [];
  let pageToken: string | undefined = "";
  while (pageToken !== undefined) {
    const page: Awaited<ReturnType<LeafStore["listTokens"]>> = await store.listTokens(tenant, limit, pageToken);
    ok(page.tokens.length <= limit);
    ids.push(...page.tokens.map((token) => `${token.tenant}.${token.tokenId}`));
    pageToken = page.nextPageToken;
  }
  return ids;
}

const INVALID = {
  "no id": tokenOf(""),
  "an id with a line end": tokenOf("a\nb"),
  "no tenant": tokenOf("t", { tenant: "" }),
  "no subject": tokenOf("t", { subject: "" }),
  "a subject of 257 characters": tokenOf("t", { subject: "s".repeat(257) }),
  "a maker with control characters": tokenOf("t", { createdBy: "\u001b[2J" }),
};

export const tokenCases: readonly Case[] = [
  [
    "a token's description is kept as it was made, and every handle sees it",
    async ({ store, connect }) => {
      const token = await added(store, "t");
      const { tokens, nextPageToken } = await (await connect()).listTokens("acme", 10);
      strictEqual(nextPageToken, undefined);
      ok(tokens[0] && equals(TokenSchema, tokens[0], token));
      strictEqual(await store.tokenRevoked("t"), false);
      strictEqual(await store.tokenRevoked("nobody"), false);
    },
  ],
  [
    "tokens are listed by tenant and id, a tenant's or all, page by page",
    async ({ store }) => {
      for (const [tenant, id] of [
        ["b", "1"],
        ["a", "2"],
        ["a", "1"],
        ["a é/x", "1"],
      ] as const)
        await added(store, `${tenant}-${id}`, { tenant });
      const all = ["a.a-1", "a.a-2", "a é/x.a é/x-1", "b.b-1"];
      for (const limit of [1, 2, 3, 10]) {
        deepStrictEqual(await listed(store, undefined, limit), all);
        deepStrictEqual(await listed(store, "a", limit), ["a.a-1", "a.a-2"]);
      }
      deepStrictEqual(await listed(store, "nobody", 1), []);
      await refused(store.listTokens(undefined, 1, "nonsense"), "invalid_argument");
      await refused(store.listTokens(undefined, 0), "invalid_argument");
    },
  ],
  [
    "a token that is revoked is so for every handle and stays so, with who did it first",
    async ({ store, connect }) => {
      await added(store, "t");
      const other = await connect();
      const before = BigInt(Date.now());
      const revoked = await store.revokeToken("acme", "t", "bob");
      ok(revoked.revokedAtMs >= before && revoked.revokedAtMs <= BigInt(Date.now()));
      strictEqual(revoked.revokedBy, "bob");
      strictEqual(await other.tokenRevoked("t"), true);
      ok(equals(TokenSchema, await other.revokeToken(undefined, "t", "eve"), revoked));
      ok(equals(TokenSchema, (await other.listTokens("acme", 1)).tokens[0] ?? tokenOf("x"), revoked));
    },
  ],
  [
    "a token that another tenant has is none, and stays good",
    async ({ store }) => {
      await added(store, "t");
      await refused(store.revokeToken("other", "t", "bob"), "token_not_found");
      await refused(store.revokeToken("acme", "nobody", "bob"), "token_not_found");
      strictEqual(await store.tokenRevoked("t"), false);
    },
  ],
  [
    "a token that expired is not there, and is forgotten as others are added",
    async ({ store }) => {
      const past = BigInt(Date.now() - 1000);
      for (let i = 0; i < 20; i++) await added(store, `old-${i}`, { expiresAtMs: past });
      await refused(store.revokeToken("acme", "old-0", "bob"), "token_not_found");
      await added(store, "new");
      deepStrictEqual(await listed(store, "acme", 1), ["acme.new"]);
      deepStrictEqual(await listed(store, undefined, 10), ["acme.new"]);
    },
  ],
  [
    "a token that is out of its limits is refused, and nothing is kept of it",
    async ({ store }) => {
      for (const token of Object.values(INVALID)) await refused(store.addToken(token), "invalid_argument");
      await added(store, "t");
      await refused(store.revokeToken("acme", "t", "\n"), "invalid_argument");
      deepStrictEqual(await listed(store, undefined, 10), ["acme.t"]);
      strictEqual(await store.tokenRevoked("t"), false);
    },
  ],
];
