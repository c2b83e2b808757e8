// Builds the page: hashed files under /web/, the service worker beside it, and everything compressed.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { drawIcon } from "./tools/icon";

const COMPRESSIBLE = /\.(js|css|html|svg|json|webmanifest)$/;

/** Draws the icon in the sizes that browsers ask of an installable page. */
function icons(): Plugin {
  return {
    name: "wayside-icons",
    apply: "build",
    generateBundle() {
      const svg = readFileSync(join(import.meta.dirname, "public/icon.svg"), "utf8");
      for (const size of [192, 512]) {
        this.emitFile({ type: "asset", fileName: `icon-${size}.png`, source: drawIcon(svg, size) });
      }
    },
  };
}

/** Writes a brotli file beside each that becomes smaller by it; the node serves whichever is wanted. */
function compressed(): Plugin {
  let folder = "";
  return {
    name: "wayside-compressed",
    apply: "build",
    configResolved(config) {
      folder = join(config.root, config.build.outDir);
    },
    closeBundle() {
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !COMPRESSIBLE.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const params = { [constants.BROTLI_PARAM_QUALITY]: 11 };
        writeFileSync(`${path}.br`, brotliCompressSync(readFileSync(path), { params }));
      }
    },
  };
}

export default defineConfig({
  base: "/",
  build: {
    target: "es2022",
    assetsDir: "web",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { main: "index.html", "service-worker": "src/service-worker.ts" },
      output: {
        entryFileNames: (chunk) =>
          chunk.name === "service-worker" ? "service-worker.js" : "web/[name]-[hash].js",
        chunkFileNames: "web/[name]-[hash].js",
        assetFileNames: "web/[name]-[hash][extname]",
      },
    },
  },
  plugins: [icons(), compressed()],
  server: { proxy: { "/_wayside": { target: "http://127.0.0.1:8460", ws: true }, "/_matrix": "http://127.0.0.1:8460" } },
  test: { include: ["test/**/*.test.ts"] },
});
