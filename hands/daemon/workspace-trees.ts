import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AddressRule } from "@serverless-harness/kit/address-rule";
import type { Logger } from "@serverless-harness/kit/log";
import { openArtifacts, ownStoreKey, readStoreKey } from "../artifacts/open.ts";
import type { HandsConfig } from "../config.ts";
import { Clones } from "../git/clones.ts";
import { Git } from "../git/git.ts";
import { LocalRepositories } from "../git/local-repositories.ts";
import { WorkspaceTrees } from "../git/workspace-trees.ts";
import type { Workspaces } from "../workspaces/workspaces.ts";

/** Clones that nobody used for this long are removed, and how often is looked for them. */
const CLONE_AGE_MS = 14 * 24 * 3_600_000;
const PRUNE_INTERVAL_MS = 6 * 3_600_000;

/** The trees, and a function that releases what they use. */
export interface OpenTrees {
  readonly trees: WorkspaceTrees;
  close(): void;
}

function artifactsKey({ state, artifactsKeyFile }: HandsConfig): Buffer {
  return artifactsKeyFile === undefined ? ownStoreKey(join(state, "artifacts.key")) : readStoreKey(artifactsKeyFile);
}

/** The trees of the daemon's workspaces: clones and object stores below its state, snapshots in the artifact store. */
export async function openTrees(config: HandsConfig, workspaces: Workspaces, log: Logger): Promise<OpenTrees> {
  const git = new Git({ environment: config.gitEnvironment });
  const local = new LocalRepositories({ roots: config.localRepositories, own: await ownDirectories(config) });
  const addresses = new AddressRule(config.privateHosts, "HANDS_PRIVATE_HOSTS");
  const clones = await Clones.open({ git, directory: join(config.state, "clones"), local, addresses });
  const artifacts = openArtifacts(config.artifacts);
  const trees = new WorkspaceTrees({ git, clones, artifacts, artifactsKey: artifactsKey(config) });
  workspaces.beforeDelete((workspace) => trees.release(workspace));
  for (const workspace of workspaces.list()) {
    await trees.origin(workspace).catch((error: unknown) => workspaces.setAsideDamaged(workspace.name, error));
  }
  const prune = (): void => {
    clones.prune(CLONE_AGE_MS).then(
      (pruned) => pruned > 0 && log.info({ pruned }, "clones that nobody used were removed"),
      (error: unknown) => log.error({ err: error }, "unused clones could not be removed"),
    );
  };
  prune();
  const timer = setInterval(prune, PRUNE_INTERVAL_MS).unref();
  return {
    trees,
    close: () => {
      clearInterval(timer);
      artifacts.close();
    },
  };
}

/** Where hands keeps what is its own, or its tenants'. */
async function ownDirectories({ workspaces, state, artifacts }: HandsConfig): Promise<string[]> {
  const own = [workspaces, state, ...(artifacts.startsWith("file:") ? [fileURLToPath(artifacts)] : [])];
  for (const directory of own) await mkdir(directory, { recursive: true, mode: 0o700 });
  return own;
}
