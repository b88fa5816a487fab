#!/bin/sh
# Builds the page afresh and compares it with what the binary holds. Needs Node.js; writes nothing into the sources.
set -eu
cd "$(dirname "$0")"
held=../crates/node/assets/dashboard
test -d node_modules || npm ci --no-audit --no-fund --ignore-scripts
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
node schema.mjs --check "$fresh/schema"
diff -r "$fresh/schema" src/schema || { echo "src/schema is not what proto/ says: npm run schema"; exit 1; }
rm -rf "$fresh/schema"
npx tsc --noEmit
npx vite build --outDir "$fresh" --logLevel warn
for file in index.html assets/app.js assets/app.css assets/wallet.js; do
  cmp "$fresh/$file" "$held/$file" || { echo "the binary holds another $file than web/ builds: npm run build"; exit 1; }
done
size=$(cat "$fresh/index.html" "$fresh/assets/app.js" "$fresh/assets/app.css" | gzip -9 | wc -c)
echo "dashboard: $size bytes compressed at first sight; the limit is 256000"
test "$size" -le 256000
later=$(gzip -9 <"$fresh/assets/wallet.js" | wc -c)
echo "wallet: $later bytes compressed when somebody signs"
unknown=$(find "$fresh" -type f | sed "s|^$fresh/||" | sort | tr '\n' ' ')
test "$unknown" = "assets/app.css assets/app.js assets/wallet.js index.html " || { echo "the build has other files than the binary serves: $unknown"; exit 1; }
