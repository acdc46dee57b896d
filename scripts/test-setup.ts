import { run } from "./run.ts";

/** Before any test: what tests start is made of the sources as they are. It takes no time if nothing has changed. */
export default async function setup(): Promise<void> {
  for (const script of ["scripts/setup.sh", "brain/test/fixtures/nursery/build.sh"]) {
    const { code, output } = await run("sh", [script]);
    if (code !== 0) throw new Error(output);
  }
}
