import { createPrivateKey, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { HarnessError } from "../errors.ts";
import {
  bearerToken,
  CLOCK_SKEW_MS,
  type Claims,
  generateKeys,
  requireOperation,
  requireScope,
  TokenMint,
  TokenVerifier,
} from "../token.ts";

const keys = generateKeys();
const mint = new TokenMint(keys.privateKey);
const verifier = new TokenVerifier(keys.publicKey, "hands");
const claims: Claims = { subject: "brain-1", audience: "hands", scopes: ["acme/s1", "beta/*"], expiresAtMs: 2_000 };

function reasonOf(call: () => unknown): string {
  try {
    call();
    return "none";
  } catch (error) {
    return error instanceof HarnessError ? error.reason : String(error);
  }
}

describe("a token", () => {
  it("brings back its claims", () => {
    expect(verifier.verify(mint.mint(claims), 1_999)).toEqual(claims);
  });

  it("expires, also when its signature was checked before", () => {
    const token = mint.mint(claims);
    verifier.verify(token, 1_000);
    expect(reasonOf(() => verifier.verify(token, 2_000 + CLOCK_SKEW_MS - 1))).toBe("none");
    expect(reasonOf(() => verifier.verify(token, 2_000 + CLOCK_SKEW_MS))).toBe("token_expired");
    expect(() => verifier.verify(token, 2_000 + 3_600_000)).toThrow(/expired 3600 s ago.*clock where it was made is slow/);
  });

  it("is refused when it is missing, forged, cut, of another key or for another audience", () => {
    const token = mint.mint(claims);
    const [body, signature] = token.split(".");
    const forged = `${Buffer.from(JSON.stringify({ ...claims, scopes: ["*"] })).toString("base64url")}.${signature}`;
    const foreign = new TokenMint(generateKeys().privateKey).mint(claims);
    const elsewhere = mint.mint({ ...claims, audience: "leaf" });
    for (const bad of [undefined, "", "x", ".", "..", `${body}.`, `${token}.x`, token.slice(0, -2), forged, foreign, elsewhere]) {
      expect(reasonOf(() => verifier.verify(bad, 1_000))).toBe("unauthenticated");
    }
  });

  it("covers its scopes and nothing beside them", () => {
    expect(reasonOf(() => requireScope(claims, "acme/s1"))).toBe("none");
    expect(reasonOf(() => requireScope(claims, "beta/anything"))).toBe("none");
    for (const other of ["acme/s2", "acme/s1x", "acme/s", "alpha/x", ""]) {
      expect(reasonOf(() => requireScope(claims, other))).toBe("out_of_scope");
    }
  });

  it("is read from the header that carries it", () => {
    expect([bearerToken("Bearer abc"), bearerToken("bearer abc")]).toEqual(["abc", "abc"]);
    for (const header of [null, undefined, "", "Bearer", "Bearer ", "Basic abc", "Bearer a b"]) expect(bearerToken(header)).toBeUndefined();
  });

  it("brings back operations and the epoch, exactly", () => {
    const full: Claims = { ...claims, scopes: ["acme/s1"], operations: ["exec", "metrics"], epoch: 2n ** 62n };
    expect(verifier.verify(mint.mint(full), 1_000)).toEqual(full);
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
  });

  it("is refused, though signed, where its claims are not what they should be", () => {
    const key = createPrivateKey(keys.privateKey);
    const signed = (json: string) => {
      const body = Buffer.from(json).toString("base64url");
      return `${body}.${sign(null, Buffer.from(body), key).toString("base64url")}`;
    };
    const good = { subject: "s", audience: "hands", scopes: ["acme/s1"], expiresAtMs: 2_000 };
    expect(verifier.verify(signed(JSON.stringify(good)), 1_000)).toEqual(good);
    const bad: unknown[] = [
      null,
      [],
      "x",
      {},
      { ...good, subject: 1 },
      { ...good, scopes: "*" },
      { ...good, scopes: [1] },
      { ...good, scopes: [""] },
      { ...good, scopes: ["race*"] },
      { ...good, scopes: ["acme/s*"] },
      { ...good, scopes: ["*/s1"] },
      { ...good, scopes: ["acme/*", "**"] },
      { ...good, expiresAtMs: "never" },
      { ...good, expiresAtMs: null },
      { ...good, operations: "exec" },
      { ...good, operations: ["everything"] },
      { ...good, epoch: 5 },
      { ...good, epoch: "-1" },
      { ...good, epoch: "1e3" },
      { ...good, epoch: "5", scopes: ["acme/*"] },
      { ...good, epoch: "5", scopes: ["acme/s1", "acme/s2"] },
      { ...good, notBeforeMs: 1_500 },
    ];
    for (const claim of bad) expect(reasonOf(() => verifier.verify(signed(JSON.stringify(claim)), 1_000))).toBe("unauthenticated");
    for (const text of ["", "{", "\u0000"]) expect(reasonOf(() => verifier.verify(signed(text), 1_000))).toBe("unauthenticated");
  });

  it("is not minted where nobody would take it", () => {
    expect(() => mint.mint({ ...claims, epoch: 1n })).toThrow("an epoch needs one scope");
    expect(() => mint.mint({ ...claims, expiresAtMs: Number.NaN })).toThrow("no token");
  });
});
