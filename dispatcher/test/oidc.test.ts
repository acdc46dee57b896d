import { writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { LeafService } from "@serverless-harness/proto/leaf";
import { exportJWK, generateKeyPair, type JWK } from "jose";
import { Provider } from "oidc-provider";
import { expect, onTestFinished, test } from "vitest";
import { readIssuersFile } from "../callers/issuers-file.ts";
import { openDoor, refusal } from "./support.ts";

const RESOURCE = "urn:leaf";
const SCOPES = "leaves:submit leaves:read";

/** A real OpenID Connect provider on a port of its own, whose one client gets access tokens (JWT) for itself. */
class IdentityProvider {
  readonly issuer: string;
  #key: JWK | undefined;
  /** Requests for its key set. */
  keysAsked = 0;
  /** What its tokens say besides. */
  extra: Record<string, unknown> = { tenant: "acme" };
  #handle: ReturnType<Provider["callback"]> | undefined;

  static async start(): Promise<IdentityProvider> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const provider = new IdentityProvider(server);
    await provider.rotate();
    onTestFinished(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return provider;
  }

  private constructor(server: Server) {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("not on TCP");
    this.issuer = `http://127.0.0.1:${address.port}`;
    server.on("request", (request, response) => {
      if (request.url === "/jwks") this.keysAsked++;
      void this.#handle?.(request, response);
    });
  }

  /** Sign with a new key from now on, and publish only that one. */
  async rotate(): Promise<void> {
    const { privateKey } = await generateKeyPair("RS256", { extractable: true });
    this.#key = { ...(await exportJWK(privateKey)), kid: `key-${Date.now()}-${Math.random()}`, alg: "RS256", use: "sig" };
    const provider = new Provider(this.issuer, {
      jwks: { keys: [this.#key] },
      clients: [
        {
          client_id: "orchestrator",
          client_secret: "a-secret-of-the-orchestrator",
          grant_types: ["client_credentials"],
          redirect_uris: [],
          response_types: [],
        },
      ],
      scopes: SCOPES.split(" "),
      extraTokenClaims: () => this.extra,
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: () => ({
            scope: SCOPES,
            audience: "leaf",
            accessTokenFormat: "jwt",
            jwt: { sign: { alg: "RS256" } },
            accessTokenTTL: 300,
          }),
        },
      },
    });
    this.#handle = provider.callback();
  }

  async token(scope = SCOPES): Promise<string> {
    const response = await fetch(`${this.issuer}/token`, {
      method: "POST",
      headers: { authorization: `Basic ${Buffer.from("orchestrator:a-secret-of-the-orchestrator").toString("base64")}` },
      body: new URLSearchParams({ grant_type: "client_credentials", resource: RESOURCE, scope }),
    });
    const { access_token: token } = (await response.json()) as { access_token?: string };
    if (token === undefined) throw new Error(`no token: ${response.status}`);
    return token;
  }
}

async function issuersFile(content: unknown): Promise<string> {
  const path = join(await temporaryDirectory(), "issuers.json");
  await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

async function doorFor(provider: IdentityProvider, entry: Record<string, unknown> = {}) {
  const issuers = readIssuersFile(await issuersFile({ issuers: [{ issuer: provider.issuer, audience: "leaf", ...entry }] }));
  const door = await openDoor({ issuers });
  return { as: (token: string) => createClient(LeafService, door.transport(token)) };
}

test("a token of a trusted provider opens the door for its tenant, by the keys that its discovery document names", async () => {
  const provider = await IdentityProvider.start();
  const { as } = await doorFor(provider);
  const leaves = as(await provider.token());
  const { leaf } = await leaves.submit({ spec: { prompt: "p" } });
  expect(leaf?.spec?.tenant).toBe("acme");
  expect((await leaves.send({ leafId: leaf?.leafId ?? "", text: "t", sentBy: "the boss" })).message?.sentBy).toBe("orchestrator");
  expect(await refusal(leaves.cancel({ leafId: leaf?.leafId ?? "" }))).toMatchObject({ reason: "scope_missing" });
  const reader = as(await provider.token("leaves:read"));
  expect((await reader.list({})).leaves).toHaveLength(1);
  expect(await refusal(reader.submit({ spec: { prompt: "p" } }))).toMatchObject({ reason: "scope_missing" });
  expect(provider.keysAsked).toBe(1);
});

test("the claims that say tenant, scopes and person are configured", async () => {
  const provider = await IdentityProvider.start();
  provider.extra = { org: "beta", email: "ann@example.org", roles: ["gates:decide", "leaves:submit", "something:else"] };
  const { as } = await doorFor(provider, { tenant_claim: "org", scopes_claim: "roles", subject_claim: "email" });
  const leaves = as(await provider.token());
  const { leaf } = await leaves.submit({ spec: { prompt: "p" } });
  expect(leaf?.spec?.tenant).toBe("beta");
  expect((await leaves.send({ leafId: leaf?.leafId ?? "", text: "t" })).message?.sentBy).toBe("ann@example.org");
  expect(await refusal(leaves.list({}))).toMatchObject({ reason: "scope_missing" });
  const fixed = await doorFor(provider, { tenant: "all-of-them", scopes: ["leaves:read"] });
  const reader = fixed.as(await provider.token());
  expect(await refusal(reader.list({ tenant: "beta" }))).toMatchObject({ reason: "foreign_tenant" });
  expect((await reader.list({})).leaves).toEqual([]);
});

test.each([
  ["no tenant", {}, "token_without_tenant"],
  ["a tenant that is no name", { tenant: "../acme" }, "token_without_tenant"],
  ["a list of tenants", { tenant: ["acme"] }, "token_without_tenant"],
])("a valid token with %s is refused by that", async (_what, extra, reason) => {
  const provider = await IdentityProvider.start();
  provider.extra = extra;
  const { as } = await doorFor(provider);
  expect(await refusal(as(await provider.token()).list({}))).toMatchObject({ code: Code.PermissionDenied, reason });
});

test("a token of a provider that is not trusted, or for another audience or algorithm, is refused", async () => {
  const [provider, stranger] = [await IdentityProvider.start(), await IdentityProvider.start()];
  const { as } = await doorFor(provider);
  const refused = { code: Code.Unauthenticated, reason: "unauthorized" };
  expect(await refusal(as(await stranger.token()).list({}))).toMatchObject(refused);
  const token = await provider.token();
  const elsewhere = await doorFor(provider, { audience: "another" });
  expect(await refusal(elsewhere.as(token).list({}))).toMatchObject(refused);
  const elliptic = await doorFor(provider, { algorithms: ["ES256"] });
  expect(await refusal(elliptic.as(token).list({}))).toMatchObject(refused);
  expect(stranger.keysAsked).toBe(0);
});

test("a provider that is away makes its tokens unavailable, not wrong, and is asked again", async () => {
  const provider = await IdentityProvider.start();
  const token = await provider.token();
  const { as } = await doorFor(provider, { jwks_uri: "http://127.0.0.1:1/jwks" });
  expect(await refusal(as(token).list({}))).toMatchObject({ code: Code.Unavailable, reason: "keys_unavailable" });
  const discovering = await doorFor(provider);
  expect((await discovering.as(token).list({})).leaves).toEqual([]);
});

test.each([
  ["no JSON", "{", /is no JSON/],
  ["no list", { issuers: {} }, /must hold/],
  ["no audience", { issuers: [{ issuer: "https://id.example" }] }, /issuers\[0\]\.audience: must be a text/],
  ["http over a network", { issuers: [{ issuer: "http://id.example", audience: "leaf" }] }, /issuers\[0\]\.issuer: must be an https URL/],
  [
    "a shared secret's algorithm",
    { issuers: [{ issuer: "https://id.example", audience: "leaf", algorithms: ["HS256"] }] },
    /issuers\[0\]\.algorithms: must be some of RS256/,
  ],
  ["a field that is not known", { issuers: [{ issuer: "https://id.example", audience: "leaf", tennant: "a" }] }, /tennant: is not known/],
  ["a scope that is not known", { issuers: [{ issuer: "https://id.example", audience: "leaf", scopes: ["all"] }] }, /scopes: must be some/],
  [
    "an issuer twice",
    {
      issuers: [
        { issuer: "https://id.example", audience: "a" },
        { issuer: "https://id.example", audience: "b" },
      ],
    },
    /may stand there once/,
  ],
])("a file of issuers with %s is refused by its field", async (_what, content, message) => {
  const path = await issuersFile(content);
  expect(() => readIssuersFile(path)).toThrow(message);
});
