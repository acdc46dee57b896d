import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { issuerOf, JwtSigner } from "@serverless-harness/kit/jwt";
import { createSigningKeys, KeyFile } from "@serverless-harness/kit/signing-keys";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { OWN_CLAIMS } from "../callers/signed-tokens.ts";
import { AUDIENCE } from "../issued-tokens.ts";

const ISSUER = "serverless-harness";

/** What a door needs to make tokens of its own, and to take them. */
export async function ownTokens() {
  const path = join(await temporaryDirectory(), "keys.json");
  await writeFile(path, await createSigningKeys(), { mode: 0o600 });
  const keys = await KeyFile.open(path);
  return { signer: new JwtSigner(keys, ISSUER), issuers: [{ issuer: issuerOf(keys, ISSUER, AUDIENCE), mapping: OWN_CLAIMS }] };
}
