import { createHmac, createPrivateKey, sign } from "node:crypto";

/** A signature over a text. */
export type SignText = (text: string) => Buffer;

/** By an Ed25519 key. */
export function byKey(privateKeyPem: string): SignText {
  return (text) => sign(null, Buffer.from(text), createPrivateKey(privateKeyPem));
}

/** By a shared secret, as one who takes a public key for one does. */
export function bySecret(secret: string): SignText {
  return (text) => createHmac("sha256", secret).update(text).digest();
}

/** A token with exactly this header and payload, which no library would make. */
export function rawToken(header: unknown, payload: unknown, signText: SignText): string {
  const text = [header, payload]
    .map((part) => Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${text}.${signText(text).toString("base64url")}`;
}
