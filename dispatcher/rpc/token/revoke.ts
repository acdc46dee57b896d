import type { ServiceImpl } from "@connectrpc/connect";
import { Validation } from "@serverless-harness/kit/validate";
import type { TokenService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../../caller.ts";
import type { IssuedTokens } from "../../issued-tokens.ts";

/** Revoke makes a token worthless. */
export function revoke(tokens: IssuedTokens): ServiceImpl<typeof TokenService>["revoke"] {
  return async ({ tokenId }, context) => {
    const v = new Validation();
    v.check("token_id", tokenId !== "", "must be set: Create returned it, List tells it");
    v.done();
    return { token: await tokens.revoke(callerOf(context), tokenId) };
  };
}
