/** Exit code for a command line that can't be used (sysexits EX_USAGE). */
const EX_USAGE = 64;

/** A program as it is called by hand. */
export interface CommandLine<Options> {
  readonly usage: string;
  /** What the arguments ask for; `undefined`: help. Throws what is wrong with them. */
  parse(args: readonly string[]): Options | undefined;
  /** Returns the exit code. */
  work(options: Options): Promise<number>;
}

/** Run a program with the arguments of this process, unless it is asked for help or its arguments can't be used. Returns the exit code. */
export async function runCommandLine<Options>(program: CommandLine<Options>): Promise<number> {
  let options: Options | undefined;
  try {
    options = program.parse(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${program.usage}`);
    return EX_USAGE;
  }
  if (options !== undefined) return await program.work(options);
  process.stdout.write(program.usage);
  return 0;
}
