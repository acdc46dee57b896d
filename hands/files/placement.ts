import { linkSync, mkdirSync, renameSync, rmSync, unlinkSync } from "node:fs";
import { chown } from "node:fs/promises";
import { basename, relative } from "node:path";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import type { Location } from "@serverless-harness/kit/paths/locate";
import { pathBytes } from "@serverless-harness/kit/paths/shown-name";
import { Interference } from "../changes/changes.ts";
import type { Witness } from "../changes/witness.ts";
import { syncChanged, syncDirectory } from "../fs/durable.ts";
import { ownershipIn, statNow } from "../fs/staged-file.ts";
import type { Workspace } from "../workspaces/workspaces.ts";

/** A place in the workspace for something staged. */
export type Place = Location & { readonly parent: Handle };

/**
 * Puts a staged file or directory into the workspace by one rename. Where parents are missing they are staged around it and the topmost one
 * is renamed, so that the file appears with all of them or not at all.
 */
export class Placement implements AsyncDisposable {
  readonly witness: Witness;
  readonly #place: Place;
  /** What was staged, where it was staged. */
  readonly #staged: string;
  /** What is renamed: the same, or the topmost of the staged parents. */
  readonly #top: string;
  readonly #linked: boolean;
  #done = false;

  private constructor(place: Place, staged: string, top: string, linked: boolean) {
    this.#place = place;
    this.#staged = staged;
    this.#top = top;
    this.#linked = linked;
    this.witness = { kind: "staged_in", staged: basename(top), ...(linked ? { linked } : {}) };
  }

  /** `mustBeNew`: a file at the place is an {@link Interference}, whoever made it and when. */
  static async prepare(place: Place, staged: string, mustBeNew: boolean): Promise<Placement> {
    if (place.missing.length < 2) return new Placement(place, staged, staged, mustBeNew);
    const top = `${staged}.parents`;
    await using stack = new AsyncDisposableStack();
    const placement = stack.use(new Placement(place, staged, top, false));
    await placement.#stageParents();
    stack.move();
    return placement;
  }

  /** Where it will be, for the intent. */
  target(workspace: Workspace): string {
    return relative(workspace.path, this.#place.resolvedPath);
  }

  /** One rename. Replaces a file that is there, unless it must be new; never a directory. */
  commit(): void {
    const destination = this.#place.parent.child(this.#place.name);
    if (this.#top !== this.#staged && statNow(destination) !== undefined) throw new Interference();
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
    await syncChanged(this.#place.parent);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#done || this.#top === this.#staged) return;
    // The staged file goes back to where its owner looks for it.
    if (statNow(this.#inParents()) !== undefined) renameSync(this.#inParents(), this.#staged);
    rmSync(this.#top, { recursive: true, force: true });
  }

  async #stageParents(): Promise<void> {
    const owner = ownershipIn(this.#place.parent);
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
    const below = this.#place.missing.slice(1, -1);
    return [this.#top, ...below.map((_, index) => this.#below(below.slice(0, index + 1)))];
  }

  #inParents(): string | Buffer {
    return this.#below(this.#place.missing.slice(1));
  }

  /** A path below the topmost parent, by names as they are shown. */
  #below(names: readonly string[]): string | Buffer {
    const path = pathBytes(`/${names.join("/")}`);
    return typeof path === "string" ? this.#top + path : Buffer.concat([Buffer.from(this.#top), path]);
  }
}
