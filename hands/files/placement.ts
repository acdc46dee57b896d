import { linkSync, mkdirSync, renameSync, rmSync, unlinkSync } from "node:fs";
import { chown } from "node:fs/promises";
import { basename, relative } from "node:path";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import type { Location } from "@serverless-harness/kit/paths/locate";
import { pathBytes } from "@serverless-harness/kit/paths/shown-name";
import { StalePlan } from "../changes/changes.ts";
import type { Witness } from "../changes/witness.ts";
import { syncChanged, syncDirectory } from "../fs/durable.ts";
import { ownershipIn, statNow } from "../fs/staged-file.ts";
import type { Workspace } from "../workspaces/workspaces.ts";

/** A place in the workspace for something staged. */
export type Destination = Location & { readonly parent: Handle };

/**
 * Puts a staged file or directory into the workspace by one rename. If parents are missing they are staged around it and the topmost one
 * is renamed, so that the file appears with all of them or not at all.
 */
export class Placement implements AsyncDisposable {
  readonly witness: Witness;
  readonly #destination: Destination;
  /** What was staged, where it was staged. */
  readonly #staged: string;
  /** What is renamed: the same, or the topmost of the staged parents. */
  readonly #top: string;
  readonly #linked: boolean;
  #done = false;

  private constructor(destination: Destination, staged: string, top: string, linked: boolean) {
    this.#destination = destination;
    this.#staged = staged;
    this.#top = top;
    this.#linked = linked;
    this.witness = { kind: "staged_in", staged: basename(top), ...(linked ? { linked } : {}) };
  }

  /** `mustBeNew`: a file at the place is a {@link StalePlan}, whoever made it and when. */
  static async prepare(destination: Destination, staged: string, mustBeNew: boolean): Promise<Placement> {
    if (destination.missing.length < 2) return new Placement(destination, staged, staged, mustBeNew);
    const top = `${staged}.parents`;
    await using stack = new AsyncDisposableStack();
    const placement = stack.use(new Placement(destination, staged, top, false));
    await placement.#stageParents();
    stack.move();
    return placement;
  }

  /** Where it will be, for the intent. */
  target(workspace: Workspace): string {
    return relative(workspace.path, this.#destination.resolvedPath);
  }

  /** One rename. Replaces a file that is there, unless it must be new; never a directory. */
  commit(): void {
    const destination = this.#destination.parent.child(this.#destination.name);
    if (this.#top !== this.#staged && statNow(destination) !== undefined) throw new StalePlan();
    if (this.#linked) {
      // Unlike a rename, a link refuses to replace what another process has just made.
      linkSync(this.#top, destination);
      unlinkSync(this.#top);
    } else {
      renameSync(this.#top, destination);
    }
    this.#done = true;
  }

  async settle(): Promise<void> {
    await syncChanged(this.#destination.parent);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#done || this.#top === this.#staged) return;
    // The staged file goes back to where its owner looks for it.
    if (statNow(this.#inParents()) !== undefined) renameSync(this.#inParents(), this.#staged);
    rmSync(this.#top, { recursive: true, force: true });
  }

  async #stageParents(): Promise<void> {
    const owner = ownershipIn(this.#destination.parent);
    const parents = this.#parents();
    for (const parent of parents) {
      mkdirSync(parent);
      await chown(parent, owner.uid, owner.gid);
    }
    renameSync(this.#staged, this.#inParents());
    for (const parent of parents.reverse()) await syncDirectory(parent);
  }

  /** The staged parents, the topmost first. */
  #parents(): Array<string | Buffer> {
    const below = this.#destination.missing.slice(1, -1);
    return [this.#top, ...below.map((_, index) => this.#below(below.slice(0, index + 1)))];
  }

  #inParents(): string | Buffer {
    return this.#below(this.#destination.missing.slice(1));
  }

  /** A path below the topmost parent, by names as they are shown. */
  #below(names: readonly string[]): string | Buffer {
    const path = pathBytes(`/${names.join("/")}`);
    return typeof path === "string" ? this.#top + path : Buffer.concat([Buffer.from(this.#top), path]);
  }
}
