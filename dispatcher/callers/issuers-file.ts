import { readFileSync } from "node:fs";
import type { Issuer } from "@serverless-harness/kit/jwt";
import { createRemoteJWKSet, type JWTVerifyGetKey } from "jose";
import { SCOPES, type Scope, scopesIn } from "./caller.ts";
import type { Mapping, TrustedIssuer } from "./signed-tokens.ts";

/** An identity provider that answers slower is away, in milliseconds. */
const TIMEOUT_MS = 5000;
/** A key set is asked for again after so many milliseconds, or when a token names a key that it lacks. */
const KEYS_KNOWN_MS = 10 * 60_000;
/** Algorithms of asymmetric keys that providers sign with. */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
const DEFAULT_ALGORITHMS = ["RS256", "ES256", "EdDSA"];

/** An entry of the file, checked. */
interface Entry {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUri: string | undefined;
  readonly algorithms: readonly string[];
  readonly mapping: Mapping;
}

/**
 * Read the OpenID Connect issuers that are trusted: `{"issuers": [{"issuer": "https://id.example", "audience": "leaf", ...}]}`. Throws an Error that
 * names every wrong field. Nothing is fetched before the first token comes.
 */
export function readIssuersFile(path: string): TrustedIssuer[] {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    const cause = error instanceof SyntaxError ? "is no JSON" : `can't be read (${(error as NodeJS.ErrnoException).code})`;
    throw new Error(`${path} ${cause}`);
  }
  const list = record(value)?.["issuers"];
  if (!Array.isArray(list)) throw new Error(`${path} must hold {"issuers": [...]}`);
  const problems: string[] = [];
  const entries = list.map((each, index) => readEntry(each, `issuers[${index}]`, problems));
  const names = entries.map(({ issuer }) => issuer);
  if (new Set(names).size < names.length) problems.push("issuers: each issuer may stand there once");
  if (problems.length > 0) throw new Error(`${path}: ${problems.join("; ")}`);
  return entries.map(({ mapping, ...entry }) => ({ issuer: remoteIssuer(entry), mapping }));
}

function readEntry(value: unknown, path: string, problems: string[]): Entry {
  const entry = record(value) ?? {};
  const wrong = (field: string, description: string): void => void problems.push(`${path}.${field}: ${description}`);
  const text = (field: string, fallback?: string): string => {
    const found = entry[field] ?? fallback;
    if (typeof found === "string" && found !== "") return found;
    wrong(field, "must be a text");
    return "";
  };
  const url = (field: string, found: string): void => {
    if (found !== "" && !isSafeUrl(found)) wrong(field, "must be an https URL, or http to this machine");
  };
  const known = ["issuer", "audience", "jwks_uri", "algorithms", "tenant", "tenant_claim", "scopes", "scopes_claim", "subject_claim"];
  for (const field of Object.keys(entry)) if (!known.includes(field)) wrong(field, `is not known: use ${known.join(", ")}`);
  const issuer = text("issuer");
  url("issuer", issuer);
  const jwksUri = entry["jwks_uri"] === undefined ? undefined : text("jwks_uri");
  if (jwksUri !== undefined) url("jwks_uri", jwksUri);
  const algorithms = entry["algorithms"] ?? DEFAULT_ALGORITHMS;
  if (!isTexts(algorithms) || algorithms.length === 0 || algorithms.some((each) => !ALGORITHMS.includes(each)))
    wrong("algorithms", `must be some of ${ALGORITHMS.join(", ")}`);
  const scopes = entry["scopes"];
  if (scopes !== undefined && (!isTexts(scopes) || scopes.some((scope) => scopesIn([scope]).length === 0)))
    wrong("scopes", `must be some of ${SCOPES.join(", ")}`);
  if (entry["tenant"] !== undefined && entry["tenant_claim"] !== undefined) wrong("tenant", "must not stand with tenant_claim");
  if (scopes !== undefined && entry["scopes_claim"] !== undefined) wrong("scopes", "must not stand with scopes_claim");
  const mapping: Mapping = {
    tenant: entry["tenant"] === undefined ? { claim: text("tenant_claim", "tenant") } : { value: text("tenant") },
    scopes: isTexts(scopes) ? { value: scopesIn(scopes) as Scope[] } : { claim: text("scopes_claim", "scope") },
    subjectClaim: text("subject_claim", "sub"),
  };
  return { issuer, audience: text("audience"), jwksUri, algorithms: isTexts(algorithms) ? algorithms : [], mapping };
}

/** An issuer whose keys are fetched when they are needed: from its `jwks_uri`, or from where its discovery document says that they are. */
function remoteIssuer({ issuer, audience, jwksUri, algorithms }: Omit<Entry, "mapping">): Issuer {
  let keys: Promise<JWTVerifyGetKey> | undefined;
  const find: JWTVerifyGetKey = async (header, token) => {
    keys ??= (jwksUri === undefined ? discover(issuer) : Promise.resolve(jwksUri)).then((uri) =>
      createRemoteJWKSet(new URL(uri), { timeoutDuration: TIMEOUT_MS, cacheMaxAge: KEYS_KNOWN_MS }),
    );
    try {
      return await (await keys)(header, token);
    } catch (error) {
      // A provider that was away is asked again by the next token.
      await keys.catch(() => {
        keys = undefined;
      });
      throw error;
    }
  };
  return { name: issuer, audience, algorithms, keys: find };
}

/** Where an issuer's keys are, by OpenID Connect Discovery 1.0, which wants the document to name the issuer that was asked for. */
async function discover(issuer: string): Promise<string> {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: "error" });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const document = record(await response.json());
  if (document?.["issuer"] !== issuer) throw new Error(`${url} is another issuer's`);
  const uri = document["jwks_uri"];
  if (typeof uri !== "string" || !isSafeUrl(uri)) throw new Error(`${url} names no jwks_uri that can be used`);
  return uri;
}

/** Keys that came without TLS over a network could be anybody's. */
function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || (protocol === "http:" && ["127.0.0.1", "[::1]", "localhost"].includes(hostname));
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}
