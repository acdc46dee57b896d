/** What a workspace lacks of what it was made from or restored to. */
export interface Lacks {
  /** Paths below the workspace, and why, as a part of a sentence: `is a socket`. */
  readonly named: ReadonlyArray<{ readonly path: string; readonly why: string }>;
  /** How many more there are. */
  readonly more: number;
}

export const LACKS_NOTHING: Lacks = { named: [], more: 0 };

/** A sentence for the model; empty where nothing is lacking. */
export function lacksSentence({ named, more }: Lacks): string {
  if (named.length === 0) return "";
  // Commands choose names: quoted, none of them can pass for the harness's own words.
  const each = named.map(({ path, why }) => `${JSON.stringify(path)} (${why})`);
  return `These could not be taken along: ${each.join(", ")}${more === 0 ? "" : `, and ${more} more`}.`;
}
