import { describe, expect, it } from "vitest";
import { HarnessError } from "../errors.ts";
import { bearerToken, type Claims, generateKeys, requireScope, TokenMint, TokenVerifier } from "../token.ts";

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
    expect(reasonOf(() => verifier.verify(token, 2_000))).toBe("token_expired");
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
});
