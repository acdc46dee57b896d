import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { compiledSources } from "@serverless-harness/kit/compiled";
import type { Environment } from "../config.ts";
import { parseObject } from "../json.ts";
import { rotate } from "./log-file.ts";
import type { JoinedPaths } from "./paths.ts";
import type { Network, SandboxKind } from "./plan.ts";
import { bundleOf, nodeOf, type Version } from "./programs.ts";
import { harmless, pick } from "./services.ts";

/** How this machine is started as a sandbox of a dispatcher elsewhere. */
export interface JoinedPlan {
  readonly paths: JoinedPaths;
  readonly version: Version;
  readonly environment: Environment;
  readonly name: string;
  /** The dispatcher, as `https://host:port`. */
  readonly url: string;
  readonly tokenFile: string;
  readonly caFile: string | undefined;
  readonly sandbox: SandboxKind;
  readonly network: Network;
  readonly labels: Readonly<Record<string, string>>;
  readonly capacity: number;
  /** The store of snapshots, with the key of its users. `undefined`: one of its own. */
  readonly artifacts: { readonly url: string; readonly keyFile: string } | undefined;
}

/** What a sandbox says of its way to the dispatcher. `problem`: why it has none. */
export type Connection = { readonly problem?: string };

/**
 * Start it in the foreground: it ends with this process, however that ends, and not by the terminal's Ctrl-C. What it says is in its log. `told`
 * gets every change of its way to the dispatcher; `lastLine` is what it said last.
 */
export function startJoined(plan: JoinedPlan, told: (connection: Connection) => void): { child: ChildProcess; lastLine: () => string } {
  const { paths, version } = plan;
  rotate(paths.log);
  const log = openSync(paths.log, "a", 0o600);
  const command = [nodeOf(version), join(version.root, bundleOf("hands"))];
  // A group of its own, which the terminal's Ctrl-C does not reach; a death of this process ends it all the same.
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...command], {
    cwd: paths.home,
    env: environmentOf(plan),
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let last = "";
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on("line", (line) => {
      writeSync(log, `${line}\n`);
      const fields = parseObject(line);
      last = String(fields?.["msg"] ?? line) || last;
      // Lines about the relay name it.
      if (fields?.["relay"] === undefined) return;
      told(fields["problem"] === undefined ? {} : { problem: String(fields["problem"]) });
    });
  }
  child.on("close", () => closeSync(log));
  return { child, lastLine: () => last };
}

function environmentOf({ paths, version, environment, ...plan }: JoinedPlan): Environment {
  const { name, url, tokenFile, caFile, sandbox, network, labels, capacity, artifacts } = plan;
  return {
    ...harmless(environment),
    ...compiledSources(version.root),
    HANDS_LISTEN: `unix:${paths.socket}`,
    HANDS_PUBLIC_KEY_FILE: paths.publicKey,
    HANDS_WORKSPACES: paths.workspaces,
    HANDS_STATE: paths.state,
    HANDS_SANDBOX: sandbox,
    HANDS_NETWORK: network,
    HANDS_RELAY_URL: `${url}/v1/sandboxes/${name}/attach`,
    HANDS_RELAY_TOKEN_FILE: tokenFile,
    ...(caFile === undefined ? {} : { HANDS_RELAY_TLS_CA_FILE: caFile }),
    HANDS_NOTIFY_URL: `${url}/wake`,
    HANDS_LABELS: Object.entries(labels)
      .map(([label, value]) => `${label}=${value}`)
      .join(","),
    HANDS_CAPACITY: String(capacity),
    ...pick(environment, ["HANDS_PRIVATE_HOSTS"]),
    ...(artifacts === undefined ? {} : artifactsOf(artifacts, environment)),
  };
}

function artifactsOf({ url, keyFile }: { readonly url: string; readonly keyFile: string }, environment: Environment): Environment {
  const isBucket = url.startsWith("s3:");
  const credentials = isBucket ? Object.keys(environment).filter((name) => name.startsWith("AWS_")) : [];
  return {
    HANDS_ARTIFACTS: url.startsWith("/") ? pathToFileURL(url).href : url,
    HANDS_ARTIFACTS_KEY_FILE: keyFile,
    ...pick(environment, [...credentials, ...(isBucket ? ["HOME"] : [])]),
  };
}
