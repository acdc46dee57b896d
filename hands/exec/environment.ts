/** Where programs are looked for. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What commands are told of their surroundings. */
export interface Homes {
  readonly home: string;
  readonly temporary: string;
  /** The name of the user that they are. */
  readonly user: string;
}

/** The sandbox's own small environment for commands. Nothing of the daemon's is in it. */
export function commandEnvironment(homes: Homes): Record<string, string> {
  return {
    PATH,
    HOME: homes.home,
    TMPDIR: homes.temporary,
    USER: homes.user,
    LOGNAME: homes.user,
    SHELL: "/bin/bash",
    LANG: "C.UTF-8",
  };
}
