// Writes src/schema/ from the schemas in proto/dodona: the types of what our own pages answer in JSON, in the words of
// the node's serde (numbers as numbers, amounts as text, bytes as hex, absent as null). `--check DIR` writes elsewhere.
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const proto = join(here, "../proto");
const out = process.argv[2] === "--check" ? process.argv[3] : join(here, "src/schema");
const PACKAGES = ["chain", "topics", "subnets"];
const PLAIN = { string: "string", bytes: "string", bool: "boolean", double: "number", uint32: "number", uint64: "number", int32: "number", int64: "number", sint32: "number", sint64: "number" };

await mkdir(out, { recursive: true });
for (const name of PACKAGES) {
  const folder = join(proto, "dodona", name, "v1");
  const files = (await readdir(folder)).filter((f) => f.endsWith(".proto")).sort();
  const texts = await Promise.all(files.map((f) => readFile(join(folder, f), "utf8")));
  const source = texts.join("\n").replaceAll(/\/\*.*?\*\//gs, "").replaceAll(/\/\/.*$/gm, "");
  const enums = new Set([...source.matchAll(/\benum\s+(\w+)/g)].map((m) => m[1]));
  const messages = [...source.matchAll(/\bmessage\s+(\w+)\s*\{([^{}]*)\}/g)];
  const count = [...source.matchAll(/\bmessage\s+\w+/g)].length;
  // What this reader does not understand is an error, not a gap.
  if (messages.length !== count) throw new Error(`${name}: ${count - messages.length} messages have messages within them`);
  const known = new Set(messages.map((m) => m[1]));
  const foreign = new Map();
  const type = (word) => {
    if (PLAIN[word]) return { text: PLAIN[word], message: false };
    if (enums.has(word)) return { text: "number", message: false };
    if (known.has(word)) return { text: word, message: true };
    const [, of, last] = /^(?:dodona\.)?(\w+)\.(?:v1\.)?(\w+)$/.exec(word) ?? [];
    if (PACKAGES.includes(of)) {
      foreign.set(`${of}/${last}`, [of, last]);
      return { text: last, message: true };
    }
    if (word.startsWith("cosmos.") || word.startsWith("google.")) return { text: "unknown", message: true };
    throw new Error(`${name}: what is ${word}?`);
  };
  const interfaces = messages.map(([, message, body]) => {
    const fields = body.split(";").map((f) => f.trim()).filter((f) => f && !f.startsWith("reserved")).map((field) => {
      const found = /^(?:(repeated|optional)\s+)?([\w.]+)\s+(\w+)\s*=\s*\d+(?:\s*\[.*\])?$/s.exec(field);
      if (!found) throw new Error(`${name}.${message}: cannot read “${field}”`);
      const [, label, word, as] = found;
      const { text, message: inner } = type(word);
      return `  ${as}: ${label === "repeated" ? `${text}[]` : label === "optional" || inner ? `${text} | null` : text};`;
    });
    return fields.length ? `export interface ${message} {\n${fields.join("\n")}\n}` : `export type ${message} = Record<string, never>;`;
  });
  const imports = [...foreign.values()].map(([of, last]) => `import type { ${last} } from "./${of}";`);
  await writeFile(join(out, `${name}.ts`), `// Written by web/schema.mjs from proto/dodona/${name}: change that, and run \`npm run schema\`.\n${imports.join("\n")}${imports.length ? "\n\n" : "\n"}${interfaces.join("\n\n")}\n`);
}
