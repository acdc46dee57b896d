import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { AddressRule, readAllowedHosts } from "@serverless-harness/kit/address-rule";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { WebhookService } from "@serverless-harness/proto/leaf";
import { onTestFinished } from "vitest";
import { Outbox, type OutboxOptions } from "../webhooks/outbox.ts";
import { WebhookSettings } from "../webhooks/settings.ts";
import { Webhooks } from "../webhooks/webhooks.ts";
import { newStore, openDoor, SILENT, TOKEN } from "./support.ts";

/** What the operator's file says of tenants. */
export type Tenants = Readonly<Record<string, { readonly secrets: readonly string[]; readonly endpoints?: readonly object[] }>>;

/** Write the operator's file, in a directory of its own or at a path. */
export async function webhooksFile(tenants: Tenants, path?: string): Promise<string> {
  const file = path ?? join(await temporaryDirectory(), "webhooks.json");
  await writeFile(file, JSON.stringify({ tenants }));
  return file;
}

export function ruleOf(allowed: string): AddressRule {
  const hosts = readAllowedHosts(allowed);
  if (typeof hosts === "string") throw new Error(hosts);
  return new AddressRule(hosts, "DISPATCHER_WEBHOOK_ALLOWED_HOSTS");
}

type Setup = Partial<Pick<OutboxOptions, "timeoutMs" | "retry">> & {
  /** Hosts that may be reached though they are not public. */
  readonly allowed?: string;
  /** More outboxes on the same store, as other dispatchers have them. */
  readonly others?: number;
};

/** A door whose tenants have webhooks, and the outbox behind it. */
export async function openWebhooks(tenants: Tenants, { allowed = "127.0.0.1", others = 0, ...options }: Setup = {}) {
  const opened = await newStore();
  const { store } = opened;
  const file = await webhooksFile(tenants);
  const rule = ruleOf(allowed);
  const webhooks = new Webhooks(new WebhookSettings(file, rule, SILENT), rule);
  const retry = { attempts: 3, baseMs: 20 };
  const outboxes = Array.from({ length: 1 + others }, () => {
    const outbox = new Outbox({ store, webhooks, rule, retry, timeoutMs: 5000, log: SILENT, ...options });
    onTestFinished(() => outbox.stop());
    outbox.start();
    return outbox;
  });
  const door = await openDoor({ store, webhooks });
  return { ...opened, ...door, file, webhooks, rule, outboxes, letters: createClient(WebhookService, door.transport(TOKEN)) };
}
