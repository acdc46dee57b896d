import { createHash } from "node:crypto";
import { access, mkdir, readdir, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AddressRule } from "@serverless-harness/kit/address-rule";
import { HarnessError } from "@serverless-harness/kit/errors";
import { KeyedQueue } from "../fs/keyed-queue.ts";
import {
  type CloneTarget,
  DEFAULT_SOURCE_LIMITS,
  fetchEverything,
  fetchExtra,
  makeClone,
  remoteHead,
  removeLeftovers,
  requireFewRefs,
  type SourceLimits,
} from "./clone-fetch.ts";
import { withFileLock } from "./file-lock.ts";
import type { Git } from "./git.ts";
import { LocalRepositories } from "./local-repositories.ts";
import { openRemote, type RemoteAccess } from "./remote.ts";
import { isCommitId, isExtra, type Resolved, resolveRef } from "./resolve-ref.ts";
import { type GitSource, type Repository, readSource } from "./source.ts";
import { translateFetchFailure, unknownRef } from "./source-error.ts";
import { killStrays } from "./stray-processes.ts";

export interface ClonesOptions {
  readonly git: Git;
  /** Holds the clones; out of the reach of commands. Several processes of one machine may share it. */
  readonly directory: string;
  /** What may be cloned by path and file URL. Default: nothing. */
  readonly local?: LocalRepositories;
  /** Which hosts may be reached. Default: public ones. */
  readonly addresses?: AddressRule;
  readonly limits?: Partial<SourceLimits>;
  /** How long one fetch may take. Default 10 minutes. */
  readonly fetchTimeoutMs?: number;
  /** How long to wait for another process's fetch. Default 15 minutes. */
  readonly lockTimeoutMs?: number;
}

/** A clone while it is locked, at the commit that was asked for. */
export interface CloneView extends Resolved {
  readonly gitDir: string;
  readonly url: string;
}

export interface UseOptions {
  readonly signal?: AbortSignal;
  /** Make the clone again, as something in it turned out to be damaged. Default false. */
  readonly anew?: boolean;
}

interface Wanted {
  readonly gitDir: string;
  readonly ref: string;
  /** The remote's refs must not be older, by the clock of `performance`. */
  readonly askedAt: number;
  readonly anew: boolean;
  readonly signal: AbortSignal | undefined;
}

interface Waiting {
  readonly waitMs: number;
  readonly signal: AbortSignal | undefined;
}

const MINUTE_MS = 60_000;
const PUBLIC = new AddressRule({ names: new Set(), networks: [] }, "HANDS_PRIVATE_HOSTS");

/**
 * One bare clone for each repository, shared by all workspaces: they take from it, nothing of theirs is in it, so that no workspace can
 * harm it, nor another workspace through it.
 *
 * A clone is worked with under a lock that holds across processes. The commit is resolved under it, so that it is the one that was fetched;
 * a process that dies under it leaves nothing that stops the next one.
 */
export class Clones {
  readonly #options: ClonesOptions;
  readonly #access: RemoteAccess;
  readonly #queue = new KeyedQueue();
  /** The last fetch of each clone by this process: when it began, and what the remote's HEAD was then if that was asked for. */
  readonly #fetches = new Map<string, { readonly startedAt: number; head?: string | undefined }>();

  private constructor(options: ClonesOptions) {
    this.#options = options;
    const { git, local = new LocalRepositories(), addresses = PUBLIC } = options;
    this.#access = { local, addresses, proxied: git.proxied };
  }

  static async open(options: ClonesOptions): Promise<Clones> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    return new Clones({ ...options, directory: await realpath(options.directory) });
  }

  /**
   * Run `work` on a clone that has the source's commit, as the remote has it at some time after this call began. INVALID_ARGUMENT for a bad
   * source; UNAVAILABLE `source_unavailable` if it can't be fetched, which changes nothing; NOT_FOUND `unknown_ref`. A commit that was
   * fetched before needs no remote.
   */
  async use<T>(source: GitSource, work: (clone: CloneView) => Promise<T>, options: UseOptions = {}): Promise<T> {
    const { repository, ref } = readSource(source, this.#access.local);
    const askedAt = performance.now();
    const { signal, anew = false } = options;
    const waiting = { waitMs: this.#options.lockTimeoutMs ?? 15 * MINUTE_MS, signal };
    return this.#locked(keyOf(repository.url), waiting, async (gitDir) => {
      const resolved = await this.#resolve(repository, { gitDir, ref, askedAt, anew, signal }).catch((error: unknown) => {
        throw translateFetchFailure(error, repository.url);
      });
      if (resolved === undefined) throw unknownRef(repository.url, ref);
      await writeFile(this.#path(`${keyOf(repository.url)}.url`), `${repository.url}\n`);
      return work({ ...resolved, gitDir, url: repository.url });
    });
  }

  /** Remove clones that were not used for `maxAgeMs`. Returns how many. What is in use stays. */
  async prune(maxAgeMs: number): Promise<number> {
    let pruned = 0;
    for (const name of await readdir(this.#options.directory)) {
      if (!name.endsWith(".url")) continue;
      const key = name.slice(0, -".url".length);
      const isOld = async (): Promise<boolean> => Date.now() - (await stat(this.#path(name))).mtimeMs > maxAgeMs;
      if (!(await isOld())) continue;
      await this.#locked(key, { waitMs: 0, signal: undefined }, async (gitDir) => {
        if (!(await isOld())) return;
        await rm(this.#path(name), { force: true });
        await rename(gitDir, `${gitDir}.old`).catch(() => undefined);
        await removeLeftovers(gitDir);
        this.#fetches.delete(key);
        pruned += 1;
      }).catch(ignoreBusy);
    }
    return pruned;
  }

  /** Run `work` on a clone's directory, which may be missing, while nobody else works with it. A signal ends the waiting, not the work. */
  #locked<T>(key: string, { waitMs, signal }: Waiting, work: (gitDir: string) => Promise<T>): Promise<T> {
    const gitDir = this.#path(`${key}.git`);
    const busy = this.#path(`${key}.busy`);
    const begun = new AbortController();
    const task = async (): Promise<T> => {
      signal?.throwIfAborted();
      begun.abort();
      if (await exists(busy)) {
        // The last holder was killed. Its git may be at work still.
        await killStrays(gitDir);
        await killStrays(`${gitDir}.new`);
        await removeLeftovers(gitDir);
      }
      await writeFile(busy, "");
      return await work(gitDir).finally(() => rm(busy, { force: true }));
    };
    const result = this.#queue.run(key, () => withFileLock(this.#path(`${key}.lock`), waitMs, task, signal));
    if (signal === undefined) return result;
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { signal: begun.signal });
    });
    return Promise.race([result, aborted]);
  }

  async #resolve(repository: Repository, { gitDir, ref, askedAt, anew, signal }: Wanted): Promise<Resolved | undefined> {
    const { git, fetchTimeoutMs = 10 * MINUTE_MS } = this.#options;
    const key = keyOf(repository.url);
    const usable = !anew && (await exists(gitDir));
    if (usable && isCommitId(ref)) {
      const known = await resolveRef(git, gitDir, ref);
      if (known !== undefined) return known;
    }
    using remote = await openRemote(repository, this.#access, signal);
    const limits = { ...DEFAULT_SOURCE_LIMITS, ...this.#options.limits };
    const target: CloneTarget = { git, remote, gitDir, limits, timeoutMs: fetchTimeoutMs, ...(signal === undefined ? {} : { signal }) };
    // A fetch that began after this call was made, while it waited for its turn, is as good as one of its own.
    if (!usable || (this.#fetches.get(key)?.startedAt ?? 0) < askedAt) {
      const startedAt = performance.now();
      await requireFewRefs(target);
      await (usable ? fetchEverything(target) : makeClone(target));
      this.#fetches.set(key, { startedAt });
    }
    const name = ref === "" ? await this.#head(target, key) : ref;
    if (name === undefined) return undefined;
    if (isExtra(name) && !(await fetchExtra(target, name))) return undefined;
    const found = await resolveRef(git, gitDir, name);
    if (found !== undefined || !isCommitId(name)) return found;
    // A commit that no branch or tag leads to.
    return (await fetchExtra(target, name)) ? resolveRef(git, gitDir, name) : undefined;
  }

  async #head(target: CloneTarget, key: string): Promise<string | undefined> {
    const fetched = this.#fetches.get(key);
    const head = fetched?.head ?? (await remoteHead(target));
    if (fetched !== undefined) fetched.head = head;
    return head;
  }

  #path(name: string): string {
    return join(this.#options.directory, name);
  }
}

function keyOf(url: string): string {
  return createHash("sha256").update(url).digest("hex").slice(0, 40);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function ignoreBusy(error: unknown): void {
  if (!(error instanceof HarnessError) || error.reason !== "lock_timeout") throw error;
}
