/**
 * Loads all that a brain needs for its first request to the default provider. For set-up, which compiles sources ahead: a brain itself loads
 * each part when it is needed.
 */
import "@earendil-works/pi-ai/providers/anthropic";
import "@earendil-works/pi-ai/api/anthropic-messages";
import "./index.ts";
