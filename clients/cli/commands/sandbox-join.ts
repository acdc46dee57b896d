import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { formatAddress } from "@serverless-harness/kit/address";
import { FileLock } from "@serverless-harness/kit/file-lock";
import { Option } from "commander";
import type { Definition } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { addressOf } from "../dispatcher/address.ts";
import { readCallersKey, requireSafeWay, sandboxNameOf } from "../dispatcher/join.ts";
import { Membership } from "../dispatcher/membership.ts";
import { CliError, ExitCode } from "../errors.ts";
import { labels, wholeNumber } from "../options/values.ts";
import type { JoinedPlan } from "../stack/joined.ts";
import { withStackLock } from "../stack/lock.ts";
import { readText } from "../stack/log-file.ts";
import type { JoinedPaths } from "../stack/paths.ts";
import { chooseSandbox, SANDBOXES, type SandboxKind } from "../stack/plan.ts";
import { ensurePrivateDirectory, writePrivate } from "../stack/private-files.ts";
import { claimStateDirectory, prepareSandbox } from "../stack/state-directory.ts";
import { prepareVersion } from "../stack/versions.ts";

/** Without a network the sandbox itself would reach no dispatcher. */
const NETWORKS = ["public", "host"] as const;
const MAX_CAPACITY = 100_000;

interface JoinOptions extends CommonOptions {
  readonly tokenFile: string;
  readonly name?: string;
  readonly label?: Record<string, string>;
  readonly capacity: number;
  readonly artifacts?: string;
  readonly artifactsKeyFile?: string;
  readonly caFile?: string;
  readonly sandbox?: SandboxKind;
  readonly network?: (typeof NETWORKS)[number];
}

/** `leaf sandbox join`: this machine becomes a sandbox of a dispatcher elsewhere. */
export const JOIN: Definition<JoinOptions> = {
  description:
    "It dials out, so it needs no address that anybody reaches, and dials again whenever the connection is lost. Ctrl-C drains it and leaves; a second one " +
    "leaves at once. Snapshots of sessions have to reach the other sandboxes: --artifacts and --artifacts-key-file are what those have as HANDS_ARTIFACTS and " +
    "HANDS_ARTIFACTS_KEY_FILE. For s3:// the credentials come from the AWS SDK's own places.",
  options: (command) =>
    command
      .requiredOption("--token-file <file>", "a token with the scope sandboxes:serve, whose subject is the sandbox's name")
      .option("--name <name>", "the sandbox's name; default: the token's subject")
      .option("--label <key=value>", "what leaves may ask for, as gpu=a100; may be repeated", labels)
      .option("--capacity <n>", "sessions that may work here at once; 0: any number", wholeNumber(0, MAX_CAPACITY), 0)
      .option("--artifacts <url>", "the store of snapshots: s3://bucket/prefix?..., or a directory that the others have as well")
      .option("--artifacts-key-file <file>", "the key of that store's users")
      .option("--ca-file <file>", "PEM of the authority of the dispatcher's certificate; default: the system's")
      .addOption(new Option("--sandbox <kind>", "bwrap: a jail; process: none (default: bwrap)").choices(SANDBOXES))
      .addOption(
        new Option("--network <reach>", "a jailed command reaches public addresses, or all of the host's (default: public)").choices(
          NETWORKS,
        ),
      ),
  run: join,
};

async function join(context: Context, [given = ""]: readonly string[], options: JoinOptions): Promise<void> {
  const { out, paths } = context;
  requireSafeWay(given);
  const url = formatAddress(addressOf(given));
  const artifacts = artifactsOf(options);
  const token = readGiven("--token-file", options.tokenFile);
  const ca = options.caFile === undefined ? undefined : readGiven("--ca-file", options.caFile);
  const name = sandboxNameOf(token, options.name);
  const sandbox = chooseSandbox(options.sandbox);
  const dispatcher = { url, token, ...(ca === undefined ? {} : { ca }) };
  const key = await readCallersKey(dispatcher, name);
  if (artifacts === undefined)
    out.warn("without --artifacts snapshots stay on this machine: sessions that work here lose their files when it leaves");
  const joined = paths.joined(name);
  ensurePrivateDirectory(paths.dir);
  await withStackLock(
    paths,
    () => undefined,
    async () => claimStateDirectory(paths),
  );
  ensurePrivateDirectory(joined.home);
  await withName(joined, name, async () => {
    prepareSandbox(joined);
    writePrivate(joined.publicKey, key);
    const plan: JoinedPlan = {
      paths: joined,
      version: await prepareVersion(paths),
      environment: context.config.environment,
      name,
      url,
      tokenFile: resolve(options.tokenFile),
      caFile: options.caFile === undefined ? undefined : resolve(options.caFile),
      sandbox,
      network: options.network ?? (sandbox === "bwrap" ? "public" : "host"),
      labels: options.label ?? {},
      capacity: options.capacity,
      artifacts,
    };
    await new Membership(context, plan, dispatcher).run();
  });
}

/** Hold the name on this machine. */
async function withName(joined: JoinedPaths, name: string, work: () => Promise<void>): Promise<void> {
  const lock = new FileLock(joined.lock);
  try {
    if (!lock.tryHold()) throw new CliError(ExitCode.refused, "name_taken", `this machine is the sandbox ${name} already: end that first`);
    await work();
  } finally {
    lock.close();
  }
}

function artifactsOf({ artifacts: url, artifactsKeyFile: keyFile }: JoinOptions): JoinedPlan["artifacts"] {
  if (url === undefined && keyFile === undefined) return undefined;
  if (url === undefined || keyFile === undefined) {
    const message = "--artifacts and --artifacts-key-file go together: the store's users know each other's snapshots by that key";
    throw new CliError(ExitCode.usage, "options_unusable", message);
  }
  if (!existsSync(keyFile)) throw new CliError(ExitCode.usage, "options_unusable", `--artifacts-key-file: there is no file ${keyFile}`);
  return { url: /^\w+:/.test(url) ? url : resolve(url), keyFile: resolve(keyFile) };
}

function readGiven(option: string, file: string): string {
  const text = readText(file);
  if (text !== undefined && text !== "") return text;
  throw new CliError(ExitCode.usage, "options_unusable", `${option}: ${file} ${text === undefined ? "can't be read" : "is empty"}`);
}
