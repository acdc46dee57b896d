/**
 * Why no cluster can be started here, with what to do; undefined if it can.
 * `kubeconfig`: what KUBECONFIG says. `user`: who asks.
 */
export function refusal(kubeconfig: string | undefined, user: number = process.getuid?.() ?? -1): string | undefined {
  if (kubeconfig !== undefined) {
    return `KUBECONFIG is ${kubeconfig}: there is a cluster already, and \`test\` uses it; unset KUBECONFIG to start one here`;
  }
  if (process.platform !== "linux") return "the test cluster needs Linux; on other systems use Kind and set KUBECONFIG";
  if (user !== 0)
    return "the test cluster needs root, for namespaces, cgroups and mounts of its own; run this as root, or use Kind and set KUBECONFIG";
  return undefined;
}
