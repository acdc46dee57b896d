import type { PtyLauncher } from "./pty.ts";

/** The programs that run on PTYs, by workspace. */
export class OpenPtys {
  readonly #pids = new Map<string, Set<number>>();

  /** Starts a workspace's programs as `launch` does, and knows them until they end. */
  counted(launch: PtyLauncher, workspace: string): PtyLauncher {
    return (spec, sink) => {
      const pids = this.#pids.get(workspace) ?? new Set();
      this.#pids.set(workspace, pids);
      const pty = launch(spec, {
        output: (data) => sink.output(data),
        ended: (end) => {
          pids.delete(pty.guard);
          sink.ended(end);
        },
      });
      pids.add(pty.guard);
      return pty;
    };
  }

  /** The processes that stand over them, of workspaces that have any. */
  pids(): Map<string, number[]> {
    const some = [...this.#pids].filter(([, pids]) => pids.size > 0);
    return new Map(some.map(([name, pids]) => [name, [...pids]]));
  }
}
