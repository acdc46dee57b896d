/** What execs of one workspace may take. 0 means what each field says. */
export interface ExecLimits {
  /** Execs that run at once. */
  readonly openExecs: number;
  /** Output that the journal keeps of one exec, in bytes; the oldest is dropped beyond it. */
  readonly outputBytes: number;
  /** Size of one spill file in bytes. 0: no spill files. */
  readonly spillBytes: number;
  /** Longest wall time of an exec in milliseconds. 0: none. */
  readonly wallMs: number;
  /** The end of an exec that wrote nothing for this many milliseconds says so. 0: never. */
  readonly silenceMs: number;
  /** How far a reader that wants every byte may lag before the command is held up, in bytes. */
  readonly readerLagBytes: number;
  /** Input of one exec that its command did not read yet, in bytes. */
  readonly stdinBytes: number;
  /** Ended execs whose records are kept; an id beyond it is forgotten, and would run again. 0: none. */
  readonly keptExecs: number;
  /** How long a record is kept after the end, in milliseconds. */
  readonly keptMs: number;
  /** Output of all ended execs together, in bytes; that of the oldest is dropped beyond it, their records stay. */
  readonly keptBytes: number;
}
