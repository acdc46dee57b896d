import type { ServiceImpl } from "@connectrpc/connect";
import type { TokenService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../../caller.ts";
import type { IssuedTokens } from "../../issued-tokens.ts";

/** Create makes a token. */
export function create(tokens: IssuedTokens): ServiceImpl<typeof TokenService>["create"] {
  return (request, context) => tokens.create(callerOf(context), request);
}
