import { writeFile } from "node:fs/promises";
import { issuerOf, JwtSigner } from "@serverless-harness/kit/jwt";
import { createSigningKeys, KeyFile } from "@serverless-harness/kit/signing-keys";
import type { LeafStore } from "@serverless-harness/session";
import { NO_AUDIT } from "../../dispatcher/audit/audit.ts";
import { Authenticator } from "../../dispatcher/callers/authenticator.ts";
import { OWN_CLAIMS, SignedTokens } from "../../dispatcher/callers/signed-tokens.ts";
import { AUDIENCE, IssuedTokens } from "../../dispatcher/issued-tokens.ts";

const ISSUER = "bench";
/** One check is too short for the clock. */
const AT_ONCE = 100;

/**
 * Milliseconds of checking a token as every call of the dispatcher does, with the signature known already: whose it is, that it has not expired, that
 * it was not revoked.
 */
export async function tokenChecks(store: LeafStore, keyFile: string, count: number): Promise<number[]> {
  await writeFile(keyFile, await createSigningKeys(), { mode: 0o600 });
  const keys = await KeyFile.open(keyFile);
  const issued = new IssuedTokens(store, undefined, NO_AUDIT);
  const trusted = [{ issuer: issuerOf(keys, ISSUER, AUDIENCE), mapping: OWN_CLAIMS }];
  const auth = new Authenticator({ tokens: new SignedTokens(trusted, (tokenId) => issued.isRevoked(tokenId)) });
  const claims = { tenant: "acme", scope: "leaves:submit leaves:read" };
  const { token } = await new JwtSigner(keys, ISSUER).sign({ audience: AUDIENCE, subject: "ci", lifeMs: 3_600_000, claims });
  const header = `Bearer ${token}`;
  await auth.identify(header);
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    for (let check = 0; check < AT_ONCE; check++) await auth.identify(header);
    times.push((performance.now() - started) / AT_ONCE);
  }
  return times;
}
