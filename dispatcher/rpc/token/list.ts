import type { ServiceImpl } from "@connectrpc/connect";
import type { TokenService } from "@serverless-harness/proto/leaf";
import { callerOf } from "../../caller.ts";
import type { IssuedTokens } from "../../issued-tokens.ts";

/** List returns a page of tokens. */
export function list(tokens: IssuedTokens): ServiceImpl<typeof TokenService>["list"] {
  return (request, context) => tokens.list(callerOf(context), request);
}
