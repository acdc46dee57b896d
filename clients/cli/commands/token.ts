import { existsSync, readFileSync } from "node:fs";
import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Token, TokenSchema } from "@serverless-harness/proto/leaf";
import { type Command, InvalidArgumentError } from "commander";
import { addCommand, defineGroup } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { withDispatcher } from "../dispatcher/call.ts";
import { CliError, ExitCode } from "../errors.ts";
import { addPageOptions, type PageOptions, repeated } from "../options/values.ts";
import { withStackLock } from "../stack/lock.ts";
import { writePrivate } from "../stack/private-files.ts";
import { isoTime, showPage } from "../view/format.ts";

interface CreateOptions extends CommonOptions {
  readonly tenant?: string;
  readonly scope: readonly string[];
  /** Seconds. */
  readonly life?: number;
}

interface ListOptions extends PageOptions {
  readonly tenant?: string;
}

interface RotateOptions extends CommonOptions {
  /** Seconds. */
  readonly overlap?: number;
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** As long as tokens are valid by default. */
const DEFAULT_OVERLAP_S = 90 * 86_400;

/** `leaf token`: who may call the dispatcher. */
export function add(group: Command): void {
  defineGroup(
    group,
    "A token says who calls, for which tenant, and what it may do. Making one needs the operator's token, or one with the scope admin.",
  );
  addCommand<CreateOptions>(group, "create <subject>", "make a token, and print it once", {
    description:
      "The subject is who will use it: events name it as who decided or cancelled. Scopes: leaves:submit, leaves:read, leaves:cancel, " +
      "gates:decide, schedules:read, schedules:write, schedules:*, sandboxes:serve (to dial in as the sandbox that the subject names), admin.",
    options: (command) =>
      command
        .option("--tenant <name>", "whose leaves it is for (default: your token's tenant; the operator's is default)")
        .option("--scope <scope>", "what it is for, at least one; may be repeated", repeated, [])
        .option("--life <time>", "how long it is valid, as 90d, 12h, 30m or 45s (default: 90d)", period),
    run: createToken,
  });
  addCommand<ListOptions>(group, "list", "list tokens that are not expired; the tokens themselves are never kept", {
    options: (command) => addPageOptions(command, 1000, 50).option("--tenant <name>", "only this tenant's"),
    run: listTokens,
  });
  addCommand<RotateOptions>(group, "rotate", "sign tokens with a new key, in the state directory", {
    description:
      "The dispatcher uses the new key within a second. Tokens of the older keys stay valid until the overlap is over, then those keys retire.",
    options: (command) =>
      command.option("--overlap <time>", "how long older keys stay valid, as 90d, 12h, 30m or 45s (default: 90d)", period),
    run: rotateKeys,
  });
  addCommand(group, "revoke <token_id>", "make a token invalid, everywhere within two seconds", {
    run: async (context, [tokenId = ""]) => {
      const { token } = await withDispatcher(context, ({ tokens }) => tokens.revoke({ tokenId }));
      context.out.answer({ token: tokenJson(token) }, `revoked ${tokenId} of ${present(token).subject}`);
    },
  });
}

/** The token alone goes to stdout, so that a script can keep it; what it is for goes to stderr. */
async function createToken(context: Context, [subject = ""]: readonly string[], options: CreateOptions): Promise<void> {
  const { out } = context;
  const request = { subject, tenant: options.tenant ?? "", scopes: [...options.scope], lifeSeconds: BigInt(options.life ?? 0) };
  const { secret, token } = await withDispatcher(context, ({ tokens }) => tokens.create(request));
  out.answer({ secret, token: tokenJson(token) }, secret);
  const { tokenId, tenant, scopes, expiresAtMs } = present(token);
  out.note(`${tokenId}: ${subject} of tenant ${tenant}, for ${scopes.join(", ")}, until ${isoTime(expiresAtMs)}; it is shown only now`);
}

async function listTokens(context: Context, _args: readonly string[], options: ListOptions): Promise<void> {
  const { tenant = "", limit: pageSize, page: pageToken = "" } = options;
  const { color } = context.out;
  const { tokens, nextPageToken } = await withDispatcher(context, (dispatcher) => dispatcher.tokens.list({ tenant, pageSize, pageToken }));
  const rows = tokens.map((token) => [
    token.tokenId,
    token.tenant,
    token.subject,
    token.revokedAtMs === 0n ? color.green("valid") : color.red(`revoked by ${token.revokedBy}`),
    isoTime(token.expiresAtMs),
    token.scopes.join(" "),
  ]);
  const things = { key: "tokens", name: "tokens", documents: tokens.map(tokenJson) };
  showPage(context.out, things, nextPageToken, ["TOKEN", "TENANT", "SUBJECT", "STATE", "EXPIRES", "SCOPES"], rows);
}

async function rotateKeys({ out, paths }: Context, _args: readonly string[], options: RotateOptions): Promise<void> {
  const overlapMs = (options.overlap ?? DEFAULT_OVERLAP_S) * 1000;
  const retireAtMs = Date.now() + overlapMs;
  const { rotateSigningKeys } = await import("@serverless-harness/kit/signing-keys");
  await withStackLock(
    paths,
    () => out.note("another leaf command is at work on the state directory"),
    async () => writePrivate(paths.signingKeys, await rotateSigningKeys(readKeys(paths.signingKeys), overlapMs)),
  );
  const text = `tokens are signed with a new key; those of older keys stay valid until ${isoTime(retireAtMs)} at the latest`;
  out.answer({ retireAtMs }, text);
}

function readKeys(path: string): string {
  if (existsSync(path)) return readFileSync(path, "utf8");
  const message = `there are no signing keys at ${path}: \`leaf up\` makes them; a dispatcher elsewhere has its own, in DISPATCHER_SIGNING_KEYS_FILE`;
  throw new CliError(ExitCode.notFound, "no_signing_keys", message);
}

/** Reads a time as `90d`, in seconds. */
function period(text: string): number {
  const [, count, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * (SECONDS[unit] ?? 0);
  if (seconds > 0) return seconds;
  throw new InvalidArgumentError("It must be a number and a unit, as 90d, 12h, 30m or 45s.");
}

function tokenJson(token: Token | undefined): JsonValue {
  return toJson(TokenSchema, present(token));
}

/** The token that an answer has to hold; an empty one if it holds none. */
function present(token: Token | undefined): Token {
  return token ?? create(TokenSchema);
}
