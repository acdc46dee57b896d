import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { INSIDE } from "./components.ts";
import { NODE_NAME } from "./network.ts";

/** How many claims the cluster can serve in its life: a volume is used once. */
const VOLUMES = 40;
const CLASS = "standard";
const FOLDER = "volumes";

/** Make the volumes' directories in the state directory. Any user may write: a pod without `fsGroup` has no other way. */
export function makeVolumeDirectories(state: string): void {
  for (let number = 0; number < VOLUMES; number++) {
    const directory = join(state, FOLDER, String(number));
    mkdirSync(directory, { recursive: true });
    chmodSync(directory, 0o777);
  }
}

/**
 * The class that claims get if they name none, as Kind has it, and its volumes. They are made beforehand: Kubernetes' own provisioner for one
 * node gives directories to root alone, ignores `fsGroup`, and refuses claims for many writers.
 */
export function volumeObjects(): object[] {
  const annotations = { "storageclass.kubernetes.io/is-default-class": "true" };
  const storageClass = {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: CLASS, annotations },
    provisioner: "kubernetes.io/no-provisioner",
    volumeBindingMode: "WaitForFirstConsumer",
  };
  return [storageClass, ...Array.from({ length: VOLUMES }, (_, number) => volume(number))];
}

function volume(number: number): object {
  const onNode = { key: "kubernetes.io/hostname", operator: "In", values: [NODE_NAME] };
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: `volume-${number}` },
    spec: {
      storageClassName: CLASS,
      capacity: { storage: "100Gi" },
      accessModes: ["ReadWriteOnce", "ReadWriteMany"],
      persistentVolumeReclaimPolicy: "Retain",
      local: { path: `${INSIDE}/${FOLDER}/${number}` },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [onNode] }] } },
    },
  };
}
