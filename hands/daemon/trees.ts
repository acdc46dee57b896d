import { join } from "node:path";
import { openArtifacts } from "../artifacts/open.ts";
import type { HandsConfig } from "../config.ts";
import { Clones } from "../git/clones.ts";
import { Git } from "../git/git.ts";
import { WorkspaceTrees } from "../git/workspace-trees.ts";
import type { Workspaces } from "../workspaces.ts";

/** The trees of the daemon's workspaces: clones and object stores below its state, snapshots in the artifact store. */
export async function openTrees(config: HandsConfig, workspaces: Workspaces): Promise<WorkspaceTrees> {
  const git = new Git({ environment: config.gitEnvironment });
  const clones = await Clones.open({ git, directory: join(config.state, "clones"), allowLocal: config.localRepositories });
  const trees = new WorkspaceTrees({ git, clones, artifacts: openArtifacts(config.artifacts) });
  workspaces.beforeDelete((workspace) => trees.release(workspace));
  return trees;
}
