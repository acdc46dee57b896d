import { formatAddress } from "../address.ts";
import { runMain } from "../main.ts";
import { readConfig } from "./config.ts";
import { startModel } from "./server.ts";

await runMain(async () => {
  const model = await startModel(readConfig().address);
  process.stdout.write(`${JSON.stringify({ url: formatAddress(model.address) })}\n`);
  return { stop: () => model.close() };
});
