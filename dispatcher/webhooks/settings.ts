import { readFileSync } from "node:fs";
import type { AddressRule } from "@serverless-harness/kit/address-rule";
import { ConfigError } from "@serverless-harness/kit/env";
import type { Logger } from "@serverless-harness/kit/log";
import { Validation } from "@serverless-harness/kit/validate";
import { FollowedFile } from "../followed-file.ts";
import { readSecret, type Secret } from "./signature.ts";
import { checkTarget, EVENT_NAMES, type EventName } from "./target.ts";

/** An address of a tenant that all of its leaves are told to. */
export interface Endpoint {
  /** What it is called, in the log and in dead letters. */
  readonly name: string;
  readonly url: string;
  readonly events: ReadonlySet<EventName>;
}

/** What an operator set up for a tenant. */
export interface TenantWebhooks {
  /** Each signs every message: two while receivers change from one to the next. */
  readonly secrets: readonly Secret[];
  readonly endpoints: readonly Endpoint[];
}

/** How often it is looked whether the file changed, in milliseconds. */
const LOOK_MS = 1000;
const MAX_SECRETS = 4;
const MAX_ENDPOINTS = 16;
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

/**
 * The operator's file of webhooks: JSON with the secrets and addresses of each tenant. A changed file counts within a second; one that can't be used is
 * logged, and what was read before goes on. Nothing of a secret is ever said.
 */
export class WebhookSettings {
  readonly #file: FollowedFile<ReadonlyMap<string, TenantWebhooks>>;
  readonly #changed: (tenants: readonly string[]) => void;
  #lookedAt = performance.now();

  /** `changed`: told of the tenants in a changed file that is used from now on. Throws a ConfigError that lists what is wrong with the file. */
  constructor(path: string, rule: AddressRule, log: Logger, changed: (tenants: readonly string[]) => void = () => undefined) {
    this.#changed = changed;
    this.#file = new FollowedFile({
      path,
      read: (file) => readFile(file, rule),
      of: "webhooks",
      summary: (tenants) => ({ tenants: tenants.size }),
      log,
    });
  }

  /** What is set up for a tenant; `undefined`: no webhooks. */
  of(tenant: string): TenantWebhooks | undefined {
    if (performance.now() - this.#lookedAt >= LOOK_MS) this.#look();
    return this.#file.content.get(tenant);
  }

  #look(): void {
    this.#lookedAt = performance.now();
    if (this.#file.look()) this.#changed([...this.#file.content.keys()]);
  }
}

function readFile(path: string, rule: AddressRule): ReadonlyMap<string, TenantWebhooks> {
  try {
    return parse(readFileSync(path, "utf8"), rule);
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(`DISPATCHER_WEBHOOKS_FILE: ${path}: ${error.message}`);
    throw new ConfigError(`DISPATCHER_WEBHOOKS_FILE: ${path} can't be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

function parse(text: string, rule: AddressRule): ReadonlyMap<string, TenantWebhooks> {
  const v = new Validation();
  const tenants = new Map<string, TenantWebhooks>();
  for (const [tenant, value] of Object.entries(object(v, "tenants", object(v, "", json(text), ["tenants"])["tenants"]))) {
    const at = `tenants.${tenant}`;
    v.name(at, tenant);
    const { secrets, endpoints = [] } = object(v, at, value, ["secrets", "endpoints"]);
    tenants.set(tenant, {
      secrets: readSecrets(v, `${at}.secrets`, secrets),
      endpoints: readEndpoints(v, `${at}.endpoints`, endpoints, rule),
    });
  }
  try {
    v.done();
  } catch (error) {
    throw new ConfigError(error instanceof Error ? error.message : String(error));
  }
  return tenants;
}

/** What a parser says itself may quote the file. */
function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ConfigError("it must be JSON");
  }
}

/** An object; `known`: the names that it may have. */
function object(v: Validation, field: string, value: unknown, known?: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    v.fail(field || "the file", "must be a JSON object");
    return {};
  }
  for (const name of Object.keys(value))
    if (known?.includes(name) === false) v.fail(field === "" ? name : `${field}.${name}`, `is not known: there are ${known.join(", ")}`);
  return value as Record<string, unknown>;
}

function list(v: Validation, field: string, value: unknown, min: number, max: number): readonly unknown[] {
  if (Array.isArray(value) && value.length >= min && value.length <= max) return value;
  v.fail(field, `must be a list of ${min} to ${max}`);
  return [];
}

function readSecrets(v: Validation, field: string, value: unknown): Secret[] {
  return list(v, field, value, 1, MAX_SECRETS).flatMap((each, i) => {
    const secret = readSecret(typeof each === "string" ? each : "");
    if (typeof secret !== "string") return [secret];
    v.fail(`${field}[${i}]`, secret);
    return [];
  });
}

function readEndpoints(v: Validation, field: string, value: unknown, rule: AddressRule): Endpoint[] {
  const names = new Set<unknown>();
  return list(v, field, value, 0, MAX_ENDPOINTS).map((each, i) => {
    const at = `${field}[${i}]`;
    const { name, url, events = EVENT_NAMES } = object(v, at, each, ["name", "url", "events"]);
    v.check(`${at}.name`, typeof name === "string" && NAME.test(name), "must be 1 to 63 characters of a-z 0-9 - not starting with a dash");
    v.check(`${at}.name`, !names.has(name), "is another endpoint's too");
    names.add(name);
    checkTarget(v, `${at}.url`, typeof url === "string" ? url : "", rule);
    const wanted = list(v, `${at}.events`, events, 1, EVENT_NAMES.length);
    const known = EVENT_NAMES.filter((event) => wanted.includes(event));
    v.check(`${at}.events`, known.length === wanted.length, `may hold ${EVENT_NAMES.join(" and ")}, each once`);
    return { name: String(name), url: String(url), events: new Set(known) };
  });
}
