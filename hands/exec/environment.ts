/** Where programs are looked for. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Directories that commands are told of. */
export interface Homes {
  readonly home: string;
  readonly temporary: string;
}

const user = process.getuid?.() === 0 ? "root" : "agent";

/** The sandbox's own small environment for commands. Nothing of the daemon's is in it. */
export function commandEnvironment(homes: Homes): Record<string, string> {
  return {
    PATH,
    HOME: homes.home,
    TMPDIR: homes.temporary,
    USER: user,
    LOGNAME: user,
    SHELL: "/bin/bash",
    LANG: "C.UTF-8",
  };
}
