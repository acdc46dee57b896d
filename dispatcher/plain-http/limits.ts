import { Validation } from "@serverless-harness/kit/validate";
import { requireScope, tenantFor } from "../callers/caller.ts";
import { type KnownHandler, queryOf } from "../http/router.ts";
import type { Limits } from "../limits/limits.ts";

/** `GET /v1/limits?tenant=acme`: what a tenant, and the caller's token, may have and have. Only the operator names the tenant. */
export function limits(known: Limits): KnownHandler {
  return async ({ request, caller }) => {
    requireScope(caller, "leaves:read");
    const named = queryOf(request).get("tenant") ?? "";
    const v = new Validation();
    if (named !== "") v.name("tenant", named);
    v.done();
    const tenant = tenantFor(caller, "tenant", named);
    const standing = await known.standing(caller, tenant);
    const body = { tenant: { name: tenant, ...told(standing.tenant) } };
    return { status: 200, body: standing.token === undefined ? body : { ...body, token: told(standing.token) } };
  };
}

function told({ limits, use }: { limits: object; use: { unfinished: number; bytes: number; tokens: number; microUsd: number } }) {
  const { unfinished, bytes, tokens, microUsd } = use;
  return { limits, used: { unfinished, bytes, tokens_today: tokens, usd_today: microUsd / 1e6 } };
}
