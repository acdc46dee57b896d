import { performance } from "node:perf_hooks";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** How often the heap is looked at, in milliseconds. */
const INTERVAL_MS = 5000;
/** What may gather beyond what was in use after the last collection, in bytes. */
const SLACK_BYTES = 16 * 1024 * 1024;
/** Share of its time that the daemon was at work, beyond which it is not held up. */
const MOST_BUSY = 0.5;

/**
 * Collect what gathered in the heap once the daemon has time for it. V8 collects when the heap has grown by a
 * multiple of what is in use, so what a burst of calls leaves stays for hours in a daemon that does little
 * afterwards. It takes some 30 ms. Returns what ends this.
 */
export function tidyHeap(): () => void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  let before = performance.eventLoopUtilization();
  let inUse = getHeapStatistics().used_heap_size;
  const timer = setInterval(() => {
    const { utilization } = performance.eventLoopUtilization(before);
    before = performance.eventLoopUtilization();
    const used = getHeapStatistics().used_heap_size;
    // V8 has collected by itself.
    inUse = Math.min(inUse, used);
    if (used < inUse + SLACK_BYTES || utilization > MOST_BUSY) return;
    collect();
    inUse = getHeapStatistics().used_heap_size;
  }, INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
