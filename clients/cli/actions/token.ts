import { existsSync, readFileSync } from "node:fs";
import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { rotateSigningKeys } from "@serverless-harness/kit/signing-keys";
import { type Token, TokenSchema } from "@serverless-harness/proto/leaf";
import type { TokenCreateOptions, TokenListOptions, TokenRotateOptions } from "../commands/token.ts";
import type { Context } from "../context.ts";
import { withTokens } from "../dispatcher.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import { withStackLock } from "../stack/lock.ts";
import { writePrivate } from "../stack/state-directory.ts";
import { isoTime } from "../view/format.ts";
import { table } from "../view/table.ts";

/** As long as tokens are valid by default. */
const DEFAULT_OVERLAP_S = 90 * 86_400;

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

/** Does `leaf token rotate`. */
export async function runRotate({ out, paths }: Context, { overlap = DEFAULT_OVERLAP_S }: TokenRotateOptions): Promise<ExitCode> {
  const until = Date.now() + overlap * 1000;
  await withStackLock(
    paths,
    () => out.note("another leaf command is at work on the state directory"),
    async () => writePrivate(paths.signingKeys, await rotateSigningKeys(readKeys(paths.signingKeys), overlap * 1000)),
  );
  if (out.json) out.document({ retireAtMs: until });
  else out.line(`tokens are signed with a new key; those of older keys hold until ${isoTime(BigInt(until))} at the latest`);
  return ExitCode.ok;
}

function readKeys(path: string): string {
  if (existsSync(path)) return readFileSync(path, "utf8");
  const message = `there are no signing keys at ${path}: \`leaf up\` makes them; a dispatcher elsewhere has its own, in DISPATCHER_SIGNING_KEYS_FILE`;
  throw new CliError(ExitCode.notFound, "no_signing_keys", message);
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
