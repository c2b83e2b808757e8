import { readFileSync } from "node:fs";

const WORKER = "node_modules/hydrogen-view-sdk/lib-build/sw.js";

/** The worker that puts the token on what pages load by themselves, pictures above all. */
const serviceWorker = {
  name: "service-worker",
  generateBundle() {
    this.emitFile({ type: "asset", fileName: "sw.js", source: readFileSync(WORKER) });
  },
};

export default {
  // Not warnings: the bundler warns of parts of Olm that only Node.js uses.
  logLevel: "error",
  base: "./",
  plugins: [serviceWorker],
  build: { target: "esnext", assetsInlineLimit: 0 },
};
