import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../scripts/run.ts";

interface Component {
  readonly type: "library" | "operating-system" | "platform";
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly licenses?: ReadonlyArray<{ readonly expression: string }>;
}

/** What a bundle's `packages.json` has; see scripts/bundle/packages.ts. */
interface BundledPackage {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

/**
 * The bill of materials of an image, as CycloneDX 1.5: packages of Debian, npm packages that were bundled, and Node. It has neither a time nor
 * a serial number, so that the same image has the same one. `root`: the image's files.
 */
export function describeParts(root: string, image: { readonly name: string; readonly reference: string; readonly digest: string }): object {
  const components = [...debianPackages(root), ...npmPackages(root), ...node(root)];
  components.sort((a, b) => (a.purl < b.purl ? -1 : 1));
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: {
      component: { type: "container", name: image.reference, version: image.digest, "bom-ref": image.name },
    },
    components,
  };
}

/** What dpkg knows, or in a root without dpkg what was noted of it, as distroless images do. */
function debianPackages(root: string): Component[] {
  const dpkg = join(root, "var/lib/dpkg");
  const texts: string[] = [];
  if (existsSync(join(dpkg, "status"))) texts.push(...readFileSync(join(dpkg, "status"), "utf8").split("\n\n"));
  const each = join(dpkg, "status.d");
  if (existsSync(each)) texts.push(...readdirSync(each).map((file) => readFileSync(join(each, file), "utf8")));
  return texts.flatMap((text) => {
    const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(text)?.[1] ?? "";
    const [name, version] = [field("Package"), field("Version")];
    if (!field("Status").endsWith(" installed")) return [];
    const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${field("Architecture")}&distro=debian-12`;
    return [{ type: "library", name, version, purl }];
  });
}

function npmPackages(root: string): Component[] {
  const bundles = join(root, "opt/leaf/dist");
  if (!existsSync(bundles)) return [];
  return readdirSync(bundles).flatMap((service) => {
    const packages = JSON.parse(readFileSync(join(bundles, service, "packages.json"), "utf8")) as BundledPackage[];
    return packages.map(({ name, version, license }) => ({
      type: "library" as const,
      name,
      version,
      purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
      ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
    }));
  });
}

/** Node is the program that the checkout's package of that name has. */
function node(root: string): Component[] {
  if (!existsSync(join(root, "opt/leaf"))) return [];
  const { version } = JSON.parse(readFileSync(join(ROOT, "node_modules/node/package.json"), "utf8")) as { version: string };
  return [{ type: "platform", name: "node", version, purl: `pkg:generic/node@${version}` }];
}
