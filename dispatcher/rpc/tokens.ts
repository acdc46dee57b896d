import type { ServiceImpl } from "@connectrpc/connect";
import { Validation } from "@serverless-harness/kit/validate";
import type { TokenService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../callers/caller.ts";
import type { IssuedTokens } from "../issued-tokens.ts";

/** The RPCs of TokenService. */
export function tokenRpcs(tokens: IssuedTokens): ServiceImpl<typeof TokenService> {
  return {
    create: (request, context) => tokens.create(callerOf(context), request),
    list: (request, context) => tokens.list(callerOf(context), request),
    revoke: async ({ tokenId }, context) => {
      const v = new Validation();
      v.check("token_id", tokenId !== "", "must be set: Create returned it, List tells it");
      v.done();
      return { token: await tokens.revoke(callerOf(context), tokenId) };
    },
  };
}
