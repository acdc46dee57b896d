import { Claims } from "../../scripts/demo/claims.ts";
import { checkApart, checkEnd, lookAtMachine } from "./claims/apart.ts";
import { checkRestarts, checkVolumes } from "./claims/keeping.ts";
import { checkNetwork } from "./claims/network.ts";
import { checkNode } from "./claims/node.ts";
import { checkProduct, removeProduct } from "./claims/product.ts";
import { checkSecurity } from "./claims/security.ts";
import { checkSuites } from "./claims/suites.ts";
import { makeWorld, removeWorld } from "./claims/world.ts";
import type { Cluster } from "./cluster.ts";
import { Kubectl } from "./kubectl.ts";

/** How many claims there are of a cluster, and how many more of one that was started here. */
const CLAIMS = 15;
const CLAIMS_OF_OUR_OWN = 7;

/** Check the claims on a cluster that others run; the exit code. */
export async function testOther(kubeconfig: string): Promise<number> {
  const claims = new Claims(false);
  const kubectl = new Kubectl("kubectl", kubeconfig);
  await checkCluster(kubectl, kubeconfig, claims);
  await removeWorld(kubectl);
  await removeProduct(kubectl);
  return verdict(claims, CLAIMS);
}

/**
 * Start the test cluster, check the claims, take it down; the exit code. `up`: with all images; returns the path of kubectl. `again`: without
 * images of ours, which its end does not need.
 */
export async function testOwn(cluster: Cluster, up: () => Promise<string>, again: () => Promise<unknown>): Promise<number> {
  const claims = new Claims(false);
  await cluster.down();
  const before = await lookAtMachine(cluster.state);
  try {
    const kubectl = new Kubectl(await up(), cluster.kubeconfig);
    await checkCluster(kubectl, cluster.kubeconfig, claims);
    await checkRestarts(cluster, kubectl, claims);
    await removeWorld(kubectl);
    await checkApart(cluster, before, claims);
    if (claims.holding < claims.all.length) process.stderr.write(`\nThe ends of the logs:\n${cluster.logs()}\n`);
    await checkEnd(cluster, before, again, claims);
  } finally {
    await cluster.down();
  }
  return verdict(claims, CLAIMS + CLAIMS_OF_OUR_OWN);
}

async function checkCluster(kubectl: Kubectl, kubeconfig: string, claims: Claims): Promise<void> {
  await makeWorld(kubectl);
  await checkNode(kubectl, claims);
  await checkSecurity(kubectl, claims);
  await checkNetwork(kubectl, claims);
  await checkVolumes(kubectl, claims);
  await checkSuites(kubeconfig, claims);
  await checkProduct(kubectl, claims);
}

function verdict(claims: Claims, all: number): number {
  process.stdout.write(`cluster: ${claims.holding} of ${all} claims hold\n`);
  return claims.holding === all ? 0 : 1;
}
