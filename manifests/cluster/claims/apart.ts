import { existsSync, readFileSync } from "node:fs";
import { isSameProcess } from "@serverless-harness/kit/proc";
import type { Claims } from "../../../scripts/demo/claims.ts";
import { type Cluster, until } from "../cluster.ts";
import { attempt } from "../command.ts";
import { assertLoopback } from "../pki.ts";

/** Settings of the whole machine that programs of Kubernetes like to change. */
const SETTINGS = [
  "vm/overcommit_memory",
  "vm/panic_on_oom",
  "kernel/panic",
  "kernel/panic_on_oops",
  "net/ipv4/ip_forward",
  "net/netfilter/nf_conntrack_max",
];

/** What the machine looks like to others than the cluster. */
export interface Machine {
  readonly rules: string;
  readonly settings: string;
  readonly mounts: string;
  readonly devices: string;
}

/** `state`: the cluster's state directory. Mounts are those of it: other programs of the machine may mount what they like meanwhile. */
export async function lookAtMachine(state: string): Promise<Machine> {
  const [rules, devices] = await Promise.all([attempt("iptables-save", []), attempt("ip", ["-o", "link"])]);
  const settings = SETTINGS.map((name) => `/proc/sys/${name}`)
    .filter((file) => existsSync(file))
    .map((file) => `${file} ${readFileSync(file, "utf8").trim()}`);
  return {
    // Counters and the time of the listing change by themselves.
    rules: rules.stdout.replaceAll(/^#.*\n|\[\d+:\d+\]/gm, ""),
    settings: settings.join("; "),
    mounts: readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(state))
      .join("\n"),
    devices: devices.stdout,
  };
}

/** While it runs, the machine is as before, and its kubeconfig leads to no other. */
export async function checkApart(cluster: Cluster, before: Machine, claims: Claims): Promise<void> {
  await claims.check("the kubeconfig for use outside names a port of 127.0.0.1 alone", async () => {
    const text = readFileSync(cluster.kubeconfig, "utf8");
    assertLoopback(text);
    return { holds: true, seen: /"server": "([^"]+)"/.exec(text)?.[1] ?? "", measured: {} };
  });
  await claims.check(
    "while it runs, the machine's firewall, devices and kernel settings are as before, and no mount of it shows",
    async () => same(before, await lookAtMachine(cluster.state)),
  );
}

/** However it ends, nothing is left. The cluster is up before and down after. */
export async function checkEnd(cluster: Cluster, before: Machine, up: () => Promise<unknown>, claims: Claims): Promise<void> {
  await claims.check("`down` leaves no process, no mount, no group", async () => {
    const running = cluster.processes();
    const groups = cluster.groups();
    await cluster.down();
    const found = await left(cluster, running, before);
    const stay = groups.filter((group) => existsSync(group)).length;
    return {
      ...found,
      holds: found.holds && groups.length > 0 && stay === 0,
      seen: `of ${groups.length} groups ${stay} stay; ${found.seen}`,
    };
  });
  await claims.check("its one process outside, killed without notice, takes all others with it", async () => {
    await up();
    const running = cluster.processes();
    const [holder] = running;
    if (holder === undefined) throw new Error("it is not up");
    process.kill(holder.pid, "SIGKILL");
    await until("the processes to end", 30, () => Promise.resolve(running.some(runs) ? undefined : true));
    const found = await left(cluster, running, before);
    await cluster.down();
    return found;
  });
}

async function left(
  cluster: Cluster,
  running: ReturnType<Cluster["processes"]>,
  before: Machine,
): Promise<{ holds: boolean; seen: string; measured: Record<string, number> }> {
  const still = running.filter(runs).length;
  const machine = same(before, await lookAtMachine(cluster.state));
  return {
    holds: running.length > 1 && still === 0 && machine.holds,
    seen: `of ${running.length} processes ${still} run; ${machine.seen}`,
    measured: { processes: running.length, left: still },
  };
}

function runs({ pid, startTicks }: ReturnType<Cluster["processes"]>[number]): boolean {
  return isSameProcess(pid, startTicks);
}

function same(before: Machine, now: Machine): { holds: boolean; seen: string; measured: Record<string, number> } {
  const different = (Object.keys(before) as (keyof Machine)[]).filter((part) => before[part] !== now[part]);
  const seen = different.length === 0 ? `the machine is as before (${now.settings})` : `changed: ${different.join(", ")}`;
  return { holds: different.length === 0, seen, measured: { changed: different.length } };
}
