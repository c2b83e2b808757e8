// Builds the page: hashed files under /web/, the service worker beside it, and everything compressed.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { drawIcon } from "./tools/icon.ts";

/** What is there before anything else: the page, and what it says in each language. */
const FIRST = ["main", "en", "de"];
const LARGE_BYTES = 1_000_000;
const COMPRESSIBLE = /\.(js|css|html|svg|json|wasm|webmanifest)$/;

/** The icon as browsers ask it of an installable page: as it is, and one that they cut to a shape of theirs. */
const ICONS = [
  { art: "public/icon.svg", fileName: "icon-192.png", size: 192 },
  { art: "art/icon-maskable.svg", fileName: "icon-512.png", size: 512 },
];

function icons(): Plugin {
  return {
    name: "wayside-icons",
    apply: "build",
    generateBundle() {
      for (const { art, fileName, size } of ICONS) {
        const svg = readFileSync(join(import.meta.dirname, art), "utf8");
        this.emitFile({ type: "asset", fileName, source: drawIcon(svg, size) });
      }
    },
  };
}

/** Tells the service worker which files the first screen is made of, and which build this is. */
function shell(): Plugin {
  return {
    name: "wayside-shell",
    apply: "build",
    generateBundle(_, bundle) {
      const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
      const worker = chunks.find(({ name }) => name === "service-worker");
      if (!worker) throw new Error("there is no service worker in the build");
      const needed = new Set<string>();
      const need = (fileName: string): void => {
        if (needed.has(fileName)) return;
        needed.add(fileName);
        chunks.find((chunk) => chunk.fileName === fileName)?.imports.forEach(need);
      };
      for (const { name, fileName } of chunks) if (FIRST.includes(name)) need(fileName);
      for (const { type, fileName } of Object.values(bundle)) {
        if (type === "asset" && /^web\/(shell-.*\.css|.*\.webp)$/.test(fileName)) needed.add(fileName);
      }
      const build = createHash("sha256").update(Object.keys(bundle).sort().join()).digest("hex");
      const files = [...needed].sort().map((fileName) => `/${fileName}`);
      worker.code = worker.code
        .replace("__BUILD__", JSON.stringify(build.slice(0, 12)))
        .replace("__SHELL__", JSON.stringify(files));
    },
  };
}

/**
 * Compresses as well as can be. For the library that encrypts this takes half a minute: large files that
 * packages bring are kept compressed beside the packages.
 */
function brotli(bytes: Buffer): Buffer {
  const deed = (): Buffer => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
  if (bytes.length < LARGE_BYTES) return deed();
  const folder = join(import.meta.dirname, "node_modules/.cache/wayside");
  const kept = join(folder, `${createHash("sha256").update(bytes).digest("hex")}.br`);
  if (existsSync(kept)) return readFileSync(kept);
  const packed = deed();
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${kept}.new`, packed);
  renameSync(`${kept}.new`, kept);
  return packed;
}

/** Writes a brotli file beside each that becomes smaller by it; the node serves whichever is wanted. */
function compressed(): Plugin {
  let folder = "";
  return {
    name: "wayside-compressed",
    apply: "build",
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir);
    },
    closeBundle() {
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !COMPRESSIBLE.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        writeFileSync(`${path}.br`, brotli(readFileSync(path)));
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
      input: {
        main: "index.html",
        "sign-in": "sign-in.html",
        present: "present.html",
        "service-worker": "src/service-worker.ts",
      },
      output: {
        entryFileNames: (chunk) =>
          chunk.name === "service-worker" ? "service-worker.js" : "web/[name]-[hash].js",
        chunkFileNames: "web/[name]-[hash].js",
        assetFileNames: "web/[name]-[hash][extname]",
      },
    },
  },
  plugins: [icons(), shell(), compressed()],
  server: { proxy: { "/_wayside": { target: "http://127.0.0.1:8460", ws: true }, "/_matrix": "http://127.0.0.1:8460" } },
  // Keys grow slowly from passphrases, and more so on a machine that does other things.
  test: { include: ["test/**/*.test.ts"], testTimeout: 30_000 },
});
