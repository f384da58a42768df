import { defineConfig } from "vite";

// Names hold a hash of the content and nothing else varies, so that the same sources give the same bytes.
export default defineConfig({
  base: "/",
  publicDir: "public",
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    outDir: "../wsiamf/review/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 800,
  },
});
