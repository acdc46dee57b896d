import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { assertLoopback, assertNoOtherServer, kubeconfig, makeCertificates } from "../../cluster/pki.ts";

test("a kubeconfig names a port of 127.0.0.1", () => {
  const { clusters } = JSON.parse(kubeconfig(40123, "/state/pki", "admin"));
  expect(clusters).toEqual([
    { name: "leaf", cluster: { server: "https://127.0.0.1:40123", "certificate-authority": "/state/pki/ca.crt" } },
  ]);
  expect(() => assertLoopback(kubeconfig(40123, "/state/pki", "admin"))).not.toThrow();
});

test.each([
  "https://172.29.0.10:6443",
  "https://localhost:6443",
  "http://127.0.0.1:6443",
  "https://127.0.0.1.example:6443",
  "https://127.0.0.1:1@10.0.0.1:6443",
])("a kubeconfig that names %s is refused", (server) => {
  const text = JSON.stringify({ clusters: [{ cluster: { server: "https://127.0.0.1:1" } }, { cluster: { server } }] });
  expect(() => assertLoopback(text)).toThrow(`the test cluster's kubeconfig names ${server}: it may name a port of 127.0.0.1 alone`);
});

test.each([
  ["--server=https://10.0.0.1", "get", "pods"],
  ["get", "pods", "--server", "https://10.0.0.1"],
  ["get", "pods", "-shttps://10.0.0.1"],
  ["--kubeconfig", "/root/.kube/config", "get", "pods"],
  ["--context=production", "delete", "namespace", "default"],
  ["--proxy-url=http://10.0.0.1", "get", "pods"],
])("kubectl %s %s %s is refused, since it would talk to another server", (...args) => {
  expect(() => assertNoOtherServer(args)).toThrow("names another server");
});

test.each([
  ["apply", "--server-side", "-f", "manifests.yaml"],
  ["exec", "pod", "--", "curl", "--server", "-s"],
  ["get", "pods", "--selector=app=brain"],
])("kubectl %s %s %s is fine", (...args) => {
  expect(() => assertNoOtherServer(args)).not.toThrow();
});

test("every certificate is signed by the cluster's authority, and private keys are their owner's alone", async () => {
  const directory = mkdtempSync(join(tmpdir(), "leaf-pki-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  await makeCertificates(directory, "/run/cluster/pki");
  for (const name of ["apiserver", "kubelet-server", "admin", "kubelet", "front-proxy"]) {
    const seen = execFileSync("openssl", ["verify", "-CAfile", "ca.crt", `${name}.crt`], { cwd: directory, encoding: "utf8" });
    expect(seen).toBe(`${name}.crt: OK\n`);
  }
  const text = execFileSync("openssl", ["x509", "-in", "apiserver.crt", "-noout", "-ext", "subjectAltName"], {
    cwd: directory,
    encoding: "utf8",
  });
  expect(text).toContain("IP Address:127.0.0.1");
  assertLoopback(readFileSync(join(directory, "kubelet.kubeconfig"), "utf8"));
});
