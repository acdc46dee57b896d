import { createHmac } from "node:crypto";

const PREFIX = "whsec_";
const MIN_BYTES = 24;
const MAX_BYTES = 64;

/** A secret that messages are signed with: `whsec_` and 24 to 64 random bytes in base64, as Standard Webhooks has it. */
export type Secret = Buffer;

/** Read a secret. Returns a text that says what is wrong with it, and nothing of it. */
export function readSecret(text: string): Secret | string {
  const base64 = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : "";
  const bytes = Buffer.from(base64, "base64");
  const isBase64 = bytes.toString("base64").replace(/=+$/, "") === base64.replace(/=+$/, "");
  if (base64 !== "" && isBase64 && bytes.length >= MIN_BYTES && bytes.length <= MAX_BYTES) return bytes;
  return `must be ${PREFIX} and ${MIN_BYTES} to ${MAX_BYTES} random bytes in base64, as \`echo ${PREFIX}$(openssl rand -base64 32)\` makes one`;
}

/**
 * The headers of a message by Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks): one signature for each secret, so that a
 * receiver which knows any of them can check it. `atMs`: when it is sent; receivers refuse old ones.
 */
export function signedHeaders(id: string, atMs: number, body: string, secrets: readonly Secret[]): Record<string, string> {
  const timestamp = String(Math.floor(atMs / 1000));
  const sign = (secret: Secret): string => `v1,${createHmac("sha256", secret).update(`${id}.${timestamp}.${body}`).digest("base64")}`;
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": secrets.map(sign).join(" ") };
}
