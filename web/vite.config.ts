// How the page is built: fixed names, because the binary names them one by one and lets browsers ask whether a file
// has changed. `DODONA=http://127.0.0.1:1317 npx vite` serves it while it is written, in front of a running node.
import { defineConfig } from "vite";

const node = process.env.DODONA ?? "http://127.0.0.1:1317";

export default defineConfig({
  base: "/",
  plugins: [
    {
      // The verifier's loader also serves Node.js; a browser is always told where the program is.
      name: "verifier-for-browsers",
      enforce: "pre",
      transform(code: string, id: string) {
        if (!id.endsWith("packages/verify/index.js")) return null;
        const there = code
          .replace('new URL("verify.wasm", import.meta.url)', '"/assets/verify.wasm"')
          .replace('await (await import("node:fs/promises")).readFile(source)', "await fetch(source)");
        return { code: there, map: null };
      },
    },
  ],
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  server: { fs: { allow: [".."] }, proxy: { "/dodona": node, "/cosmos": node, "/.well-known": node } },
  build: {
    outDir: "../crates/node/assets/dashboard",
    emptyOutDir: false, // verify.wasm is put there by packages/verify/build.sh
    modulePreload: false,
    assetsInlineLimit: 0,
    target: "es2022",
    rollupOptions: {
      output: {
        entryFileNames: "assets/app.js",
        assetFileNames: "assets/app[extname]",
        // What signs comes only when somebody signs; everything else is one file.
        chunkFileNames: "assets/[name].js",
      },
    },
  },
});
