import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Token, TokenSchema } from "@serverless-harness/proto/leaf";
import type { TokenCreateOptions, TokenListOptions } from "../commands/token.ts";
import type { Context } from "../context.ts";
import { withTokens } from "../dispatcher.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import { isoTime } from "../view/format.ts";
import { table } from "../view/table.ts";

/** Does `leaf token create`: the token alone on stdout, so that a script can keep it; what it is for on stderr. */
export async function runCreate(context: Context, [subject = ""]: readonly string[], options: TokenCreateOptions): Promise<ExitCode> {
  const { out } = context;
  const request = { subject, tenant: options.tenant ?? "", scopes: [...options.scope], lifeSeconds: BigInt(options.life ?? 0) };
  const { secret, token } = await withTokens(context, (tokens) => tokens.create(request));
  if (out.json) out.document({ secret, token: tokenJson(token) });
  else {
    out.line(secret);
    const { tokenId, tenant, scopes, expiresAtMs } = present(token);
    out.note(`${tokenId}: ${subject} of tenant ${tenant}, for ${scopes.join(", ")}, until ${isoTime(expiresAtMs)}; it is shown only now`);
  }
  return ExitCode.ok;
}

/** Does `leaf token list`. */
export async function runList(context: Context, _args: readonly string[], options: TokenListOptions): Promise<ExitCode> {
  const { out } = context;
  const { tokens, nextPageToken } = await withTokens(context, (service) =>
    service.list({ tenant: options.tenant ?? "", pageSize: options.limit, pageToken: options.page ?? "" }),
  );
  if (out.json) {
    out.document({ tokens: tokens.map(tokenJson), ...(nextPageToken === "" ? {} : { nextPageToken }) });
    return ExitCode.ok;
  }
  if (tokens.length === 0) out.note("no tokens");
  const rows = tokens.map((token) => [
    token.tokenId,
    token.tenant,
    token.subject,
    standing(token, out.color),
    isoTime(token.expiresAtMs),
    token.scopes.join(" "),
  ]);
  for (const line of table(["TOKEN", "TENANT", "SUBJECT", "STATE", "EXPIRES", "SCOPES"], rows, out.color)) out.line(line);
  if (nextPageToken !== "") out.note(`more: --page ${nextPageToken}`);
  return ExitCode.ok;
}

/** Does `leaf token revoke`. */
export async function runRevoke(context: Context, [tokenId = ""]: readonly string[]): Promise<ExitCode> {
  const { out } = context;
  const { token } = await withTokens(context, (tokens) => tokens.revoke({ tokenId }));
  if (out.json) out.document({ token: tokenJson(token) });
  else out.line(`revoked ${tokenId} of ${present(token).subject}`);
  return ExitCode.ok;
}

function standing({ revokedAtMs, revokedBy }: Token, color: Output["color"]): string {
  return revokedAtMs === 0n ? color.green("valid") : color.red(`revoked by ${revokedBy}`);
}

function tokenJson(token: Token | undefined): JsonValue {
  return toJson(TokenSchema, present(token));
}

/** A token that an answer must hold; an empty one in place of none. */
function present(token: Token | undefined): Token {
  return token ?? create(TokenSchema);
}
