import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Plugin } from "esbuild";

/** What generated code calls while it is loaded, by the module of @bufbuild/protobuf that has it. */
const HYDRATORS: Readonly<Record<string, string>> = { "file.js": "fileDesc", "message.js": "messageDesc", "service.js": "serviceDesc" };

/**
 * Takes the place of a descriptor until somebody looks at it. Its prototype is then the descriptor itself, so that only the first look costs more.
 * Nothing in protobuf-es compares descriptors by identity, or asks for their own properties.
 */
const LAZILY = `
function lazily(hydrate) {
  const real = () => {
    const hydrated = hydrate();
    Object.setPrototypeOf(lazy, hydrated);
    return hydrated;
  };
  const lazy = Object.create(new Proxy({}, { get: (_target, key) => real()[key], has: (_target, key) => key in real() }));
  return lazy;
}
`;

/**
 * Has descriptors of Protocol Buffers made when they are first used. Made while the code is loaded, they were a tenth of a brain's start, and its
 * first model request needs less than half of them.
 */
export function lazyDescriptors(): Plugin {
  return {
    name: "lazy-descriptors",
    setup(build) {
      build.onLoad({ filter: /@bufbuild\/protobuf\/dist\/esm\/codegenv2\/(?:file|message|service)\.js$/ }, async ({ path }) => {
        const name = HYDRATORS[basename(path)] ?? "";
        const source = await readFile(path, "utf8");
        const declaration = `export function ${name}(`;
        if (!source.includes(declaration)) throw new Error(`${path} has no ${name}: @bufbuild/protobuf is another one now`);
        const eager = source
          .replace(declaration, "function hydrate(")
          // Node's own is not in JavaScript.
          .replace("base64Decode(b64)", 'Buffer.from(b64, "base64")');
        return { contents: `${eager}${LAZILY}export const ${name} = (...path) => lazily(() => hydrate(...path));\n`, loader: "js" };
      });
    },
  };
}
