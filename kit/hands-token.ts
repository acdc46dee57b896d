import { createPrivateKey, createPublicKey, generateKeyPairSync, type webcrypto } from "node:crypto";
import { calculateJwkThumbprint, exportJWK, importPKCS8, importSPKI, type JWTVerifyGetKey } from "jose";
import { type Claims, readClaims, writeClaims } from "./hands-claims.ts";
import { JwtSigner, JwtVerifier, unauthorized } from "./jwt.ts";
import { SIGNING_ALGORITHM, type SigningKey } from "./signing-keys.ts";

/** Who makes tokens for hands, and whom they are for. */
const ISSUER = "serverless-harness";
const AUDIENCE = "hands";

/** A new Ed25519 key pair as PEM texts: whoever mints holds the private one, whoever verifies only the public one. */
export function generateKeys(): { privateKey: string; publicKey: string } {
  const pair = generateKeyPairSync("ed25519");
  return {
    privateKey: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKey: pair.publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

/** Makes tokens for hands. */
export class TokenMint {
  readonly #signer: JwtSigner;

  /** Throws if the text holds no private key. */
  constructor(privateKeyPem: string) {
    const spki = createPublicKey(createPrivateKey(privateKeyPem)).export({ type: "spki", format: "pem" }).toString();
    const signing = async (): Promise<SigningKey> => {
      const half = await exportJWK(await importSPKI(spki, SIGNING_ALGORITHM, { extractable: true }));
      return { id: await calculateJwkThumbprint(half), key: (await importPKCS8(privateKeyPem, SIGNING_ALGORITHM)) as webcrypto.CryptoKey };
    };
    this.#signer = new JwtSigner({ signing: once(signing) }, ISSUER);
  }

  /** Rejects if no hands would take the claims. */
  async mint(claims: Claims): Promise<string> {
    const nowMs = Date.now();
    const further = writeClaims(claims);
    const { token } = await this.#signer.sign(
      { audience: AUDIENCE, subject: claims.subject, lifeMs: claims.expiresAtMs - nowMs, claims: further },
      nowMs,
    );
    return token;
  }
}

/** Checks tokens for hands, by a public key alone. */
export class TokenVerifier {
  readonly #verifier: JwtVerifier;
  /** What known tokens say. */
  readonly #claims = new WeakMap<object, Claims>();

  /** Throws if the text holds no Ed25519 public key. */
  constructor(publicKeyPem: string) {
    if (createPublicKey(publicKeyPem).asymmetricKeyType !== "ed25519") throw new Error("it must be an Ed25519 key");
    const keys: JWTVerifyGetKey = once(() => importSPKI(publicKeyPem, SIGNING_ALGORITHM));
    this.#verifier = new JwtVerifier([{ name: ISSUER, audience: AUDIENCE, algorithms: [SIGNING_ALGORITHM], keys }]);
  }

  /** The claims of a valid token, whose expiry is taken with some tolerance. UNAUTHENTICATED for anything else, without telling which part was wrong. */
  async verify(token: string | undefined, nowMs: number = Date.now()): Promise<Claims> {
    if (token === undefined) throw unauthorized();
    const payload = await this.#verifier.verify(token, nowMs);
    const claims = this.#claims.get(payload) ?? readClaims(payload);
    if (claims === undefined) throw unauthorized();
    this.#claims.set(payload, claims);
    return claims;
  }
}

/** What a key is made into, the first time that it is used. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
