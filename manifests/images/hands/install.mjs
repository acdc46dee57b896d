/**
 * Copies /opt/leaf, which this file is in, into a directory that an init container shares with the container that hands is to run in; there it is
 * mounted as /opt/leaf. `install.mjs DIRECTORY`. An older copy that is there is replaced.
 */
import { cpSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const [into] = process.argv.slice(2);
if (into === undefined) {
  process.stderr.write("install: say which directory hands is to be copied into, as the container's only argument\n");
  process.exit(64);
}
try {
  for (const name of readdirSync(import.meta.dirname)) {
    rmSync(join(into, name), { recursive: true, force: true });
    cpSync(join(import.meta.dirname, name), join(into, name), { recursive: true, preserveTimestamps: true });
  }
} catch (error) {
  process.stderr.write(
    `install: hands can't be copied into ${into}: ${error.message}; mount a volume there that user 65532 may write to\n`,
  );
  process.exit(1);
}
process.stdout.write(`hands is in ${into}\n`);
