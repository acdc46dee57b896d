/** A sandbox as whoever found it knows it. */
export interface FoundSandbox {
  readonly name: string;
  /** Where brains call it, as `HANDS_URL`. */
  readonly address: string;
  /** Whose sessions alone it takes; empty: everybody's. */
  readonly tenant: string;
}

/** Something that finds sandboxes. */
export interface SandboxSource {
  /** What is known of where they are now. */
  found(): readonly FoundSandbox[];
  /** Look again, if that is to be done. Throws what there is to log; what was found before goes on. */
  look?(): Promise<void> | void;
  /** Look no more. */
  close?(): void;
}
