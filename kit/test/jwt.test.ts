import { createHmac } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { expect, test } from "vitest";
import { HarnessError } from "../errors.ts";
import { CLOCK_TOLERANCE_S, issuerOf, JwtSigner, JwtVerifier, type NewToken } from "../jwt.ts";
import { createSigningKeys, KeyFile, publicKeysOf, rotateSigningKeys } from "../signing-keys.ts";
import { temporaryDirectory } from "../testing/index.ts";

const NOW_MS = 1_800_000_000_000;
const ASKED: NewToken = { audience: "leaf", subject: "ann", lifeMs: 60_000, claims: { tenant: "acme" } };

async function keyFile(text: string): Promise<KeyFile> {
  const path = join(await temporaryDirectory(), "keys.json");
  await writeFile(path, text, { mode: 0o600 });
  return await KeyFile.open(path, 0);
}

async function authority(text?: string) {
  const file = await keyFile(text ?? (await createSigningKeys()));
  return { file, signer: new JwtSigner(file, "us"), verifier: new JwtVerifier([issuerOf(file, "us", "leaf")]) };
}

async function reasonOf(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => "none",
    (error: unknown) => (error instanceof HarnessError ? error.reason : String(error)),
  );
}

test("a token brings back its claims, again and again", async () => {
  const { signer, verifier } = await authority();
  const made = await signer.sign(ASKED, NOW_MS);
  for (let i = 0; i < 3; i++) {
    const claims = await verifier.verify(made.token, NOW_MS);
    expect(claims).toMatchObject({ iss: "us", sub: "ann", aud: "leaf", tenant: "acme", jti: made.id, exp: (NOW_MS + 60_000) / 1000 });
  }
});

test("a token expires with some tolerance for clocks, also if it was verified before, and says whose clock may be wrong", async () => {
  const { signer, verifier } = await authority();
  const { token, expiresAtMs } = await signer.sign(ASKED, NOW_MS);
  const last = expiresAtMs + CLOCK_TOLERANCE_S * 1000;
  expect(await reasonOf(verifier.verify(token, last - 1))).toBe("none");
  expect(await reasonOf(verifier.verify(token, last))).toBe("token_expired");
  await expect(verifier.verify(token, expiresAtMs + 3_600_000)).rejects.toThrow(/expired 3600 s ago.*clock where it was made is slow/);
});

test("a token that is missing parts, forged, cut, of another issuer, key or audience is refused, without a word on why", async () => {
  const { file, signer, verifier } = await authority();
  const { token } = await signer.sign(ASKED, NOW_MS);
  const [head = "", body = "", signature = ""] = token.split(".");
  const claims = { iss: "us", aud: "leaf", sub: "eve", exp: NOW_MS / 1000 + 60, tenant: "acme" };
  const json = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const { id: kid, key } = await file.signing();
  const signed = (over: object, header: object = {}) =>
    new SignJWT({ ...claims, ...over }).setProtectedHeader({ alg: "EdDSA", typ: "JWT", kid, ...header }).sign(key);
  const stranger = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  const rsa = await generateKeyPair("RS256");
  // The public key as the secret of a shared-key algorithm, as an attacker would try who knows it.
  const { x = "" } = await exportJWK(key).then(
    (jwk) => jwk,
    () => ({ x: "" }),
  );
  const confused = `${json({ alg: "HS256", kid })}.${json(claims)}`;
  const hmac = createHmac("sha256", Buffer.from(x, "base64url")).update(confused).digest("base64url");
  const bad = {
    empty: "",
    word: "x",
    dots: "..",
    cut: token.slice(0, -3),
    "without a signature": `${head}.${body}.`,
    "with a part more": `${token}.x`,
    "other claims": `${head}.${json({ ...claims })}.${signature}`,
    "alg none": new UnsecuredJWT(claims).encode(),
    "alg none, signed": `${json({ alg: "none", kid })}.${json(claims)}.${signature}`,
    "key confusion": `${confused}.${hmac}`,
    "another key with our kid": await new SignJWT(claims).setProtectedHeader({ alg: "EdDSA", kid }).sign(stranger.privateKey),
    "its own key in the header": await new SignJWT(claims)
      .setProtectedHeader({ alg: "EdDSA", jwk: await exportJWK(stranger.publicKey) })
      .sign(stranger.privateKey),
    "another algorithm": await new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid }).sign(rsa.privateKey),
    "another issuer": await signed({ iss: "them" }),
    "no issuer": await signed({ iss: undefined }),
    "another audience": await signed({ aud: "hands" }),
    "no audience": await signed({ aud: undefined }),
    "no subject": await signed({ sub: undefined }),
    "no expiry": await signed({ exp: undefined }),
    "a kid that is not ours": await signed({}, { kid: "nobody" }),
    "critical parts that nobody knows": await signed({}, { crit: ["x"], x: 1 }).catch(() => "x.y.z"),
    "not valid yet": await signed({ nbf: NOW_MS / 1000 + CLOCK_TOLERANCE_S + 10 }),
    "of 17,000 characters": await signed({ more: "m".repeat(17_000) }),
  };
  expect(await reasonOf(verifier.verify(await signed({}), NOW_MS))).toBe("none");
  for (const [what, each] of Object.entries(bad))
    expect([what, await reasonOf(verifier.verify(each, NOW_MS))]).toEqual([what, "unauthorized"]);
});

test("keys rotate with overlap: the new one signs, tokens of the old one hold until it retires", async () => {
  const first = await createSigningKeys();
  const { file, signer, verifier } = await authority(first);
  const old = await signer.sign(ASKED, NOW_MS);
  expect(await reasonOf(verifier.verify(old.token, NOW_MS))).toBe("none");

  const both = await rotateSigningKeys(first, 2000);
  await writeFile(file.path, both);
  const recent = await signer.sign(ASKED, NOW_MS);
  expect(recent.token.split(".")[0]).not.toBe(old.token.split(".")[0]);
  for (const { token } of [old, recent]) expect(await reasonOf(verifier.verify(token, NOW_MS))).toBe("none");

  // The file stays as it is: its old key is over by the clock.
  while ((await reasonOf(verifier.verify(old.token, NOW_MS))) === "none") await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await reasonOf(verifier.verify(old.token, NOW_MS))).toBe("unauthorized");
  expect(JSON.parse(await rotateSigningKeys(both, 60_000)).keys).toHaveLength(2);
  expect(await reasonOf(verifier.verify(recent.token, NOW_MS))).toBe("none");
});

test("a key file that becomes useless leaves the keys as they were", async () => {
  const { file, signer, verifier } = await authority();
  const { token } = await signer.sign(ASKED, NOW_MS);
  await writeFile(file.path, "{");
  expect(await reasonOf(verifier.verify(token, NOW_MS))).toBe("none");
});

test("public keys verify and can't sign", async () => {
  const privateKeys = await createSigningKeys();
  const { token } = await (await authority(privateKeys)).signer.sign(ASKED, NOW_MS);
  const publicKeys = publicKeysOf(privateKeys);
  expect(publicKeys).not.toContain('"d"');
  const file = await keyFile(publicKeys);
  await expect(new JwtSigner(file, "us").sign(ASKED)).rejects.toThrow("holds no private key");
  expect(await reasonOf(new JwtVerifier([issuerOf(file, "us", "leaf")]).verify(token, NOW_MS))).toBe("none");
});

test.each([
  ["no JSON", "keys"],
  ["no key", '{"keys": []}'],
  ["another kind of key", '{"keys": [{"kty": "RSA", "kid": "a"}]}'],
  ["a shared secret", '{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}'],
  ["a key without an id", '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]}'],
])("a key file with %s is refused, without showing it", async (_what, text) => {
  await expect(keyFile(text)).rejects.toThrow(/must (be|have)/);
  await expect(keyFile(text)).rejects.not.toThrow("c2VjcmV0");
});
