import type { Protocol } from "./git-settings.ts";
import type { LocalRepositories } from "./local-repositories.ts";
import type { Repository } from "./source.ts";

/** A repository that git may be told to fetch from. Dispose it. */
export interface Remote extends Disposable {
  /** What git is told. */
  readonly address: string;
  readonly protocol: Protocol;
  /** Options of the commands that speak to it. */
  readonly options: readonly string[];
  /** What git inherits, from {@link FIRST_DESCRIPTOR} on. */
  readonly descriptors: readonly number[];
}

/** Number of the first descriptor that a git process inherits beside the usual three. */
const FIRST_DESCRIPTOR = 3;

/**
 * Make a repository one that git can be told of. A local one is checked now, and git gets what was checked by its open directories instead of a path.
 * Throws what {@link LocalRepositories.open} throws.
 */
export async function openRemote({ url, protocol }: Repository, local: LocalRepositories, signal?: AbortSignal): Promise<Remote> {
  if (protocol !== "file") return { address: url, protocol, options: [], descriptors: [], [Symbol.dispose]: () => undefined };
  const opened = await local.open(url, signal);
  const handles = [opened.gitDir, ...opened.alternates];
  const [address = "", ...alternates] = handles.map((_handle, index) => `/proc/self/fd/${FIRST_DESCRIPTOR + index}`);
  return {
    address,
    protocol,
    options: [`--upload-pack=${uploadPack(alternates)}`],
    descriptors: handles.map(({ fd }) => fd),
    [Symbol.dispose]: () => opened[Symbol.dispose](),
  };
}

/**
 * What gives a local repository away, as a command of the shell. Git clears its own settings for it. It may belong to another user than the daemon's: an operator
 * named it, and git runs nothing that such a repository configures. Objects that it borrows are found though their paths may be others here.
 */
function uploadPack(alternates: readonly string[]): string {
  const git = "git -c 'safe.directory=*' -c protocol.allow=never upload-pack";
  return alternates.length === 0 ? git : `GIT_ALTERNATE_OBJECT_DIRECTORIES=${alternates.join(":")} ${git}`;
}
