import { byKey, bySecret, rawToken } from "@serverless-harness/kit/testing";
import { describe, expect, it } from "vitest";
import { bearerToken } from "../bearer.ts";
import { HarnessError } from "../errors.ts";
import { type Claims, requireOperation, requireWorkspace } from "../hands-claims.ts";
import { generateKeys, TokenMint, TokenVerifier } from "../hands-token.ts";
import { CLOCK_TOLERANCE_S } from "../jwt.ts";

const keys = generateKeys();
const mint = new TokenMint(keys.privateKey);
const verifier = new TokenVerifier(keys.publicKey);
const claims: Claims = { subject: "brain-1", scopes: ["acme/s1", "beta/*"], expiresAtMs: 2_000 };
const HEADER = { alg: "EdDSA", typ: "JWT" };
const PAYLOAD = { iss: "serverless-harness", aud: "hands", sub: "brain-1", exp: 2, workspaces: ["acme/s1"] };

function reasonOf(call: () => unknown): string {
  try {
    call();
    return "none";
  } catch (error) {
    return error instanceof HarnessError ? error.reason : String(error);
  }
}

async function refusalOf(token: string | undefined, nowMs = 1_000): Promise<string> {
  return await verifier.verify(token, nowMs).then(
    () => "none",
    (error: unknown) => (error instanceof HarnessError ? error.reason : String(error)),
  );
}

describe("a token", () => {
  it("brings back its claims, and is a JWT with the key's id", async () => {
    const token = await mint.mint(claims);
    expect(await verifier.verify(token, 1_999)).toEqual(claims);
    const [header, payload] = token.split(".", 2).map((part) => JSON.parse(Buffer.from(part, "base64url").toString()));
    expect(header).toMatchObject({ alg: "EdDSA", typ: "JWT", kid: expect.stringMatching(/^[\w-]{43}$/) });
    expect(payload).toMatchObject({ iss: "serverless-harness", aud: "hands", sub: "brain-1", exp: 2, workspaces: ["acme/s1", "beta/*"] });
  });

  it("expires, also when its signature was checked before", async () => {
    const token = await mint.mint(claims);
    const lastMs = 2_000 + CLOCK_TOLERANCE_S * 1000;
    expect(await refusalOf(token, 1_000)).toBe("none");
    expect(await refusalOf(token, lastMs - 1)).toBe("none");
    expect(await refusalOf(token, lastMs)).toBe("token_expired");
    await expect(verifier.verify(token, 2_000 + 3_600_000)).rejects.toThrow(/expired 3600 s ago.*clock where it was made is slow/);
  });

  it("is refused when it is missing, forged, cut, of another key, for another audience or of another issuer", async () => {
    const [header = "", body, signature] = (await mint.mint(claims)).split(".");
    const wider = Buffer.from(JSON.stringify({ ...PAYLOAD, workspaces: ["*"] })).toString("base64url");
    const own = byKey(keys.privateKey);
    const bad = [
      ...[
        undefined,
        "",
        "x",
        ".",
        "..",
        `${header}.${body}.`,
        `${header}.${body}.${signature}.x`,
        `${header}.${body}.${signature?.slice(0, -4)}`,
      ],
      `${header}.${wider}.${signature}`,
      await new TokenMint(generateKeys().privateKey).mint(claims),
      rawToken(HEADER, { ...PAYLOAD, aud: "leaf" }, own),
      rawToken(HEADER, { ...PAYLOAD, iss: "somebody" }, own),
      rawToken(HEADER, { ...PAYLOAD, nbf: 3600 }, own),
    ];
    expect(await refusalOf(rawToken(HEADER, PAYLOAD, own))).toBe("none");
    for (const token of bad) expect([token, await refusalOf(token)]).toEqual([token, "unauthorized"]);
  });

  it("is refused without a signature, or with one that takes the public key for a secret", async () => {
    const nothing = () => Buffer.alloc(0);
    const jwk = JSON.stringify({ kty: "oct", k: keys.publicKey });
    for (const token of [
      rawToken({ alg: "none" }, PAYLOAD, nothing),
      rawToken({ alg: "None", typ: "JWT" }, PAYLOAD, nothing),
      rawToken({ alg: "HS256", typ: "JWT" }, PAYLOAD, bySecret(keys.publicKey)),
      rawToken({ alg: "HS256", typ: "JWT", jwk }, PAYLOAD, bySecret(keys.publicKey)),
      rawToken({ alg: "HS256" }, PAYLOAD, byKey(keys.privateKey)),
      rawToken({ ...HEADER, crit: ["exp2"], exp2: 1 }, PAYLOAD, byKey(keys.privateKey)),
    ])
      expect([token, await refusalOf(token)]).toEqual([token, "unauthorized"]);
  });

  it("covers its scopes and nothing beside them", () => {
    expect(reasonOf(() => requireWorkspace(claims, "acme/s1"))).toBe("none");
    expect(reasonOf(() => requireWorkspace(claims, "beta/anything"))).toBe("none");
    for (const other of ["acme/s2", "acme/s1x", "acme/s", "alpha/x", ""]) {
      expect(reasonOf(() => requireWorkspace(claims, other))).toBe("out_of_scope");
    }
  });

  it("is read from the header that carries it", () => {
    expect([bearerToken("Bearer abc"), bearerToken("bearer abc")]).toEqual(["abc", "abc"]);
    for (const header of [null, undefined, "", "Bearer", "Bearer ", "Basic abc", "Bearer a b"]) expect(bearerToken(header)).toBeUndefined();
  });

  it("brings back operations and the epoch, exactly", async () => {
    const full: Claims = { ...claims, scopes: ["acme/s1"], operations: ["exec", "metrics"], epoch: 2n ** 62n };
    expect(await verifier.verify(await mint.mint(full), 1_000)).toEqual(full);
  });

  it("is for its operations and no others; metrics have to be named", () => {
    const only = { ...claims, operations: ["files.read"] } as const;
    expect(reasonOf(() => requireOperation(only, "files.read"))).toBe("none");
    expect(reasonOf(() => requireOperation({ ...claims, operations: ["metrics"] }, "metrics"))).toBe("none");
    for (const other of ["files.write", "exec", "metrics", undefined] as const)
      expect(reasonOf(() => requireOperation(only, other))).toBe("out_of_scope");
    expect(reasonOf(() => requireOperation({ ...claims, operations: [] }, "exec"))).toBe("out_of_scope");
    for (const any of ["exec", "files.write", "terminal", "workspaces", undefined] as const)
      expect(reasonOf(() => requireOperation(claims, any))).toBe("none");
    expect(reasonOf(() => requireOperation(claims, "metrics"))).toBe("out_of_scope");
    const [workspaces, list] = [
      { ...claims, operations: ["workspaces"] },
      { ...claims, operations: ["workspaces.list"] },
    ] as const;
    expect(reasonOf(() => requireOperation(workspaces, "workspaces.list"))).toBe("none");
    expect(reasonOf(() => requireOperation(list, "workspaces.list"))).toBe("none");
    expect(reasonOf(() => requireOperation(list, "workspaces"))).toBe("out_of_scope");
  });

  it("is refused, though signed, where its claims are not what they should be", async () => {
    const bad: unknown[] = [
      null,
      [],
      "x",
      {},
      { ...PAYLOAD, sub: 1 },
      { ...PAYLOAD, sub: undefined },
      { ...PAYLOAD, workspaces: undefined },
      { ...PAYLOAD, workspaces: "*" },
      { ...PAYLOAD, workspaces: [1] },
      { ...PAYLOAD, workspaces: [""] },
      { ...PAYLOAD, workspaces: ["race*"] },
      { ...PAYLOAD, workspaces: ["acme/s*"] },
      { ...PAYLOAD, workspaces: ["*/s1"] },
      { ...PAYLOAD, workspaces: ["acme/*", "**"] },
      { ...PAYLOAD, exp: "never" },
      { ...PAYLOAD, exp: null },
      { ...PAYLOAD, exp: 2.5 },
      { ...PAYLOAD, operations: "exec" },
      { ...PAYLOAD, operations: ["everything"] },
      { ...PAYLOAD, epoch: 5 },
      { ...PAYLOAD, epoch: "-1" },
      { ...PAYLOAD, epoch: "1e3" },
      { ...PAYLOAD, epoch: "5", workspaces: ["acme/*"] },
      { ...PAYLOAD, epoch: "5", workspaces: ["acme/s1", "acme/s2"] },
      { ...PAYLOAD, only_on: "Sundays" },
    ];
    for (const claim of bad)
      expect([claim, await refusalOf(rawToken(HEADER, claim, byKey(keys.privateKey)))]).toEqual([claim, "unauthorized"]);
  });

  it("is not minted where nobody would take it", async () => {
    await expect(mint.mint({ ...claims, epoch: 1n })).rejects.toThrow("an epoch needs one workspace");
    await expect(mint.mint({ ...claims, expiresAtMs: Number.NaN })).rejects.toThrow("no token");
  });
});
